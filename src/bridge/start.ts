/** The bridge of one controller, put together: queue, reconciler, event socket, sweep. */
import { type Check, type NatsDoor, systemClock } from '../drivers/index.ts';
import type { Journal, ReconcileQueue } from '../engine/index.ts';
import { type Clock, isMillraceError, messageOf } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import { handOn, observe } from './observe.ts';
import { createPrefectClient, openEventSocket, openEventStream, type PrefectApi } from './prefect/index.ts';
import {
  bullQueue,
  type CheckedQueue,
  type DefinitionSource,
  followOpenFlows,
  memoryQueue,
  openDispatches,
  Reconciler,
  Sweep,
} from './reconcile/index.ts';

export interface BridgeOptions {
  readonly door: NatsDoor;
  readonly journal: Journal;
  readonly definitions: DefinitionSource;
  /** Prefect's API, `http://host:4200/api`. */
  readonly prefectUrl: string;
  readonly apiKey?: string | undefined;
  /** Where Prefect's state changes are heard of: its event socket (the default), or the stream of prefect_nats. */
  readonly events?: 'socket' | 'stream';
  /** Without it the queue is this process's memory: right for one controller only. */
  readonly redisUrl?: string | undefined;
  readonly telemetry: Telemetry;
  readonly clock?: Clock;
  /** Keys reconciled at once; 8 by default: Prefect on SQLite writes one at a time anyway. */
  readonly concurrency?: number;
  /** Ms between sweeps; 5,000 by default. */
  readonly sweepMs?: number;
  /** Namespace in Redis. */
  readonly redisPrefix?: string;
}

export interface Bridge {
  readonly queue: ReconcileQueue;
  readonly prefect: PrefectApi;
  /** Stops taking keys, waits for those under way, closes what it opened (not the door). */
  stop(): Promise<void>;
  /** What it depends on, as it is now; never rejects. */
  checks(): Promise<readonly Check[]>;
}

/** Starts the bridge. Neither Prefect nor Redis need to be there: it works as soon as they are. One call per controller. */
export async function startBridge(options: BridgeOptions): Promise<Bridge> {
  const { door, journal, definitions, prefectUrl, apiKey, redisUrl, telemetry, clock = systemClock } = options;
  const prefect = createPrefectClient({ url: prefectUrl, apiKey, telemetry });
  const queue =
    redisUrl === undefined
      ? memoryQueue(clock, telemetry)
      : bullQueue({
          redisUrl,
          telemetry,
          ...(options.redisPrefix === undefined ? {} : { prefix: options.redisPrefix }),
        });
  const dispatches = openDispatches(door);
  const reconciler = new Reconciler({ journal, definitions, prefect, dispatches, clock, telemetry });
  const openFlows = followOpenFlows(door, clock, telemetry);
  const sweep = new Sweep({
    ...{ openFlows, definitions, prefect, dispatches, queue, clock, telemetry },
    ...(options.sweepMs === undefined ? {} : { intervalMs: options.sweepMs }),
  });
  const ours = new OurWorkflows(definitions, clock);
  const observing = { journal, queue, telemetry, isOurs: (workflow: string) => ours.has(workflow) };
  const consumption = await queue.consume((key) => reconciler.reconcile(key), {
    concurrency: options.concurrency ?? 8,
  });
  const events =
    options.events === 'stream'
      ? openEventStream({ door, clock, telemetry, onObservation: (observation) => handOn(observing, observation) })
      : openEventSocket({
          ...{ url: prefectUrl, apiKey, clock, telemetry },
          onObservation: (observation) => void observe(observing, observation),
        });
  sweep.start();
  return {
    queue,
    prefect,
    async stop() {
      await Promise.all([sweep.stop(), events.stop()]);
      await consumption.stop();
      await Promise.all([openFlows.stop(), queue.close()]);
    },
    checks: async () => [await prefectCheck(prefect, prefectUrl), await queueCheck(queue, redisUrl)],
  };
}

/** Which workflows exist here; asked again when one turns up that is not known, but not for every event of a stranger. */
class OurWorkflows {
  readonly #definitions: DefinitionSource;
  readonly #clock: Clock;
  #names: ReadonlySet<string> = new Set();
  #askedAt = 0;

  constructor(definitions: DefinitionSource, clock: Clock) {
    this.#definitions = definitions;
    this.#clock = clock;
    this.#ask();
  }

  has(workflow: string): boolean {
    if (this.#names.has(workflow)) return true;
    if (this.#clock.now() - this.#askedAt > 1_000) this.#ask();
    return false;
  }

  #ask(): void {
    this.#askedAt = this.#clock.now();
    this.#definitions.list().then(
      (definitions) => (this.#names = new Set(definitions.map(({ name }) => name))),
      () => undefined, // asked again with the next event
    );
  }
}

async function prefectCheck(prefect: PrefectApi, url: string): Promise<Check> {
  try {
    const ok = await prefect.health();
    return { name: 'prefect', ok, detail: ok ? `answers at ${url}` : `at ${url} says that it cannot work` };
  } catch (error) {
    const hint = isMillraceError(error) && error.hint !== undefined ? `; ${error.hint}` : '';
    return { name: 'prefect', ok: false, detail: `${messageOf(error)}${hint}` };
  }
}

async function queueCheck(queue: CheckedQueue, redisUrl: string | undefined): Promise<Check> {
  const name = 'reconcile queue';
  if (redisUrl === undefined) return { name, ok: true, detail: 'in memory: run one controller only' };
  try {
    await queue.ping();
    return { name, ok: true, detail: 'on Redis' };
  } catch (error) {
    return { name, ok: false, detail: messageOf(error) };
  }
}
