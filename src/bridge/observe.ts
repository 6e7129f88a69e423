/** What becomes of an observation of the event socket: news that a run can take goes to it, the rest to the reconciler. */
import type { Journal, ReconcileQueue } from '../engine/index.ts';
import { messageOf } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import { flowReport, type Observation } from './prefect/index.ts';
import { PATIENCE } from './reconcile/index.ts';

export interface ObserveOptions {
  readonly journal: Pick<Journal, 'send'>;
  readonly queue: Pick<ReconcileQueue, 'enqueue'>;
  /** False for workflows of another installation on the same Prefect. */
  readonly isOurs: (workflow: string) => boolean;
  readonly telemetry: Telemetry;
}

/**
 * Hands the observation on.
 * @throws MillraceError MR_NATS, MR_REDIS_UNREACHABLE, MR_PAYLOAD_TOO_LARGE when it could not be
 */
export async function handOn(options: ObserveOptions, observation: Observation): Promise<void> {
  const { key, state } = observation;
  if (!options.isOurs(key.workflow)) return;
  switch (state.type) {
    case 'SCHEDULED': // whoever created it has told the run; `Late` and the like are names of the same state
      return;
    case 'PENDING':
    case 'RUNNING':
    case 'PAUSED': {
      const { body, msgId } = flowReport(key, observation.flowRunId, state, 'events');
      await options.journal.send({ workflow: key.workflow, runId: key.runId }, body, { msgId });
      return;
    }
    case 'CANCELLED':
    case 'CANCELLING':
      return options.queue.enqueue(key);
    default: // an end: the host reports it with its result or its error, and goes first
      return options.queue.enqueue(key, { delayMs: PATIENCE.reportMs });
  }
}

/** {@link handOn} for a source that cannot tell it again. Never rejects: what is lost here, the sweep finds. */
export async function observe(options: ObserveOptions, observation: Observation): Promise<void> {
  try {
    await handOn(options, observation);
  } catch (error) {
    const { key } = observation;
    options.telemetry.metrics.count('millrace_prefect_events_lost_total');
    options.telemetry.log.debug({ ...key, error: messageOf(error) }, 'an observation was lost, the sweep will find it');
  }
}
