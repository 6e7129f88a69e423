/** How a run ended, from its state. Pure. */
import type { RunState } from '../engine/index.ts';
import type { Batch } from './tail.ts';
import type { Ending } from './types.ts';

/** undefined while it has not ended. */
export function endingOfState(state: RunState): Ending | undefined {
  switch (state.status) {
    case 'completed':
      return { status: 'completed', output: state.output ?? null };
    case 'failed':
      return { status: 'failed', error: state.error ?? { code: 'MR_INTERNAL', message: 'the run failed' } };
    case 'cancelled':
      return { status: 'cancelled', reason: state.reason ?? '' };
    default:
      return undefined;
  }
}

/** How the run ends with the batch; undefined when it does not. */
export function endingOfBatch(batch: Batch): Ending | undefined {
  const last = batch.transitions.at(-1);
  switch (last?.type) {
    case 'RunCompleted':
      return { status: 'completed', output: last.output ?? null };
    case 'RunFailed':
      return { status: 'failed', error: last.error };
    case 'RunCancelled':
      return { status: 'cancelled', reason: last.reason };
    default:
      return undefined;
  }
}
