/** Which run a step's attempt is, when it is a run of its own. Internal to the model. */
import { derivedId } from '../../kernel/index.ts';
import type { StepAction } from './definition.ts';
import type { Failure } from './inputs.ts';
import type { RunState } from './state.ts';
import type { ChildRef } from './transitions.ts';

/** Levels of children below a run that nobody is the parent of: a workflow that starts itself is to be found out, not paid. */
export const MAX_DEPTH = 50;

/** How deep below a run without a parent the children of this run are: 1 for those of a run that has none. */
export function depthBelow({ parent }: Pick<RunState, 'parent'>): number {
  return parent === undefined ? 1 : (parent.depth ?? 1) + 1;
}

/** The child run of one attempt: whoever works it out anew names the same run. */
export function childRef(
  { workflow, runId }: Pick<RunState, 'workflow' | 'runId'>,
  action: Extract<StepAction, { kind: 'child' }>,
  step: string,
  attempt: number,
): ChildRef {
  const child = derivedId('child', workflow, runId, step, attempt);
  return { workflow: action.workflow, runId: child, onClose: action.onClose, wait: action.wait };
}

/** Why the run may not have a child of this workflow, if it may not. */
export function tooDeep(state: RunState, workflow: string): Failure | undefined {
  if (depthBelow(state) <= MAX_DEPTH) return undefined;
  const message = `child runs are ${MAX_DEPTH} levels deep already; ${workflow} would be one more`;
  const hint = 'look for a workflow that starts itself without an end';
  return { code: 'MR_CHILD_DEPTH', message, hint, retryable: false, lost: false };
}
