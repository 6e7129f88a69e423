/**
 * Prefect's events from its own bus, where that is JetStream (ops/prefect/prefect_nats): no socket, nothing that is dropped.
 *
 * Job: observations of our flow runs out, one for each event. Boundary: it decides nothing.
 *   E4 an event is acknowledged when what it means has been handed on, so it outlives a controller that dies with it;
 *   E5 all controllers share one durable consumer: each event is for one of them;
 *   E6 a stream that does not exist yet is waited for, and found again when it was deleted.
 */
import { consumeDurable, type Delivered, type NatsDoor } from '../../drivers/index.ts';
import { type Clock, messageOf } from '../../kernel/index.ts';
import type { Telemetry } from '../../telemetry/index.ts';
import { flowRunEventSchema } from './payloads.ts';
import { type Observation, observationOf } from './translate.ts';

export interface EventStreamOptions {
  readonly door: NatsDoor;
  /** Stream of Prefect's events; `PREFECT_EVENTS` unless its `PREFECT_NATS_STREAM_PREFIX` is another. */
  readonly stream?: string;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Rejects when it could not hand the observation on: it comes again. */
  readonly onObservation: (observation: Observation) => Promise<void>;
}

export interface EventStream {
  /** True while the durable consumer is bound. */
  connected(): boolean;
  stop(): Promise<void>;
}

export const PREFECT_EVENTS_STREAM = 'PREFECT_EVENTS';
const CONSUMER = 'millrace';
const FLOW_RUNS = 'prefect.flow-run.>';
const SECOND = 1_000_000_000;
const AGAIN_MS = 1_000;
const ENSURE_MS = 2_000;
/** A second controller may handle an event while the first one's ack is on its way: the reports have ids of their own. */
const IN_FLIGHT = 64;

/** Opens the consumption. Does not wait for the stream to exist. */
export function openEventStream(options: EventStreamOptions): EventStream {
  const { door, clock, telemetry, stream = PREFECT_EVENTS_STREAM } = options;
  const stopped = new AbortController();
  const consuming = consumeDurable({
    door,
    stream,
    consumer: CONSUMER,
    maxInFlight: IN_FLIGHT,
    handle: (msg) => handle(options, msg),
    report: (message) => telemetry.log.debug({ stream }, message),
  });
  const ensuring = ensure(options, stream, () => consuming.bound, clock, stopped.signal);
  return {
    connected: () => consuming.bound,
    async stop() {
      stopped.abort();
      await Promise.all([consuming.stop(), ensuring]);
    },
  };
}

/** Makes the consumer while it cannot be had: the stream may come later than we do (E6). */
async function ensure(
  { door, telemetry }: EventStreamOptions,
  stream: string,
  bound: () => boolean,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  let said = false;
  while (!signal.aborted) {
    telemetry.metrics.gauge('millrace_prefect_socket_connected', bound() ? 1 : 0);
    if (!bound()) {
      try {
        await door.jsm.consumers.add(stream, {
          durable_name: CONSUMER,
          description: 'state changes of flow runs, for the controllers of Millrace',
          filter_subject: FLOW_RUNS,
          ack_policy: 'explicit',
          deliver_policy: 'all',
          ack_wait: 5 * SECOND,
          max_deliver: -1,
          max_ack_pending: 1_000,
        });
      } catch (error) {
        if (!said) {
          telemetry.log.info(
            { stream, error: messageOf(error) },
            "Prefect's event stream is not there yet: start Prefect's server with prefect_nats (docs/prefect-nats.md)",
          );
        }
        said = true;
      }
    }
    await clock.sleep(ENSURE_MS, signal).catch(() => undefined);
  }
}

async function handle({ telemetry, onObservation }: EventStreamOptions, msg: Delivered): Promise<void> {
  let observation: Observation | undefined;
  try {
    const parsed = flowRunEventSchema.safeParse(msg.json());
    observation = parsed.success ? observationOf(parsed.data) : undefined;
  } catch {
    telemetry.metrics.count('millrace_prefect_events_total', { type: 'unreadable' });
    return msg.term('not JSON');
  }
  if (observation === undefined) return msg.ack(); // somebody else's flow run
  try {
    await onObservation(observation);
  } catch (error) {
    telemetry.log.warn({ ...observation.key, err: error }, `an event of Prefect comes again: ${messageOf(error)}`);
    return msg.nak(AGAIN_MS);
  }
  telemetry.metrics.count('millrace_prefect_events_total', { type: observation.state.type });
  msg.ack();
}
