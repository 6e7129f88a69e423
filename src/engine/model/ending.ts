/** How a run of a declared workflow ended, from its state. Pure. */
import { endingOf } from './children.ts';
import type { Definition } from './definition.ts';
import type { RunEnding } from './inputs.ts';
import type { RunState } from './state.ts';

/**
 * undefined while it has not ended. What a completed run gave is its output, else the outputs by name of the steps that no other
 * needs: for these the definition is asked that the run was begun with (or moved to).
 */
export function endingOfRun(definition: Definition, state: RunState): RunEnding | undefined {
  const { status, output, error, reason } = state;
  switch (status) {
    case 'completed':
      return endingOf(definition, state, { type: 'RunCompleted', ...(output === undefined ? {} : { output }) });
    case 'failed':
      return error === undefined ? undefined : { status, error };
    case 'cancelled':
      return { status, reason: reason ?? '' };
    default:
      return undefined;
  }
}
