/**
 * What the end of a run means to other runs: its parent waits for word, its open children end with it.
 *
 *   F23 whoever writes a run's end, or finds it written when an input comes again, sends both before that input is
 *       acknowledged: when he dies in between, the input comes again, and they are sent again under the same message ids.
 */
import type { ChildRef, InputBody, Parent, RunEnding, RunRef, RunState } from '../engine/index.ts';
import { endingOfState } from './ending.ts';
import type { Family } from './kinship.ts';
import type { Ending } from './types.ts';

/** Children that a run in this state must have ended: their steps were cancelled, and they do not outlive them. */
export function toClose(state: RunState): ChildRef[] {
  return Object.values(state.steps).flatMap(({ status, child }) =>
    status === 'cancelled' && child?.wait === true && child.onClose === 'cancel' ? [child] : [],
  );
}

/** Children that a run in this state must have ended when it ends now. */
export function openChildren(state: RunState): ChildRef[] {
  return Object.values(state.steps).flatMap(({ status, child }) =>
    status === 'scheduled' && child?.wait === true && child.onClose === 'cancel' ? [child] : [],
  );
}

/** Where the run's end is to be told. */
const isTold = (parent: Parent | undefined): parent is Parent => parent !== undefined && parent.detached !== true;

export interface EndOfRun {
  readonly run: RunRef;
  readonly parent: Parent | undefined;
  readonly ending: Ending;
  readonly closing: readonly ChildRef[];
  readonly killed: boolean;
}

function runEnding(ending: Ending): RunEnding {
  if (ending.status !== 'failed') return ending;
  return { status: 'failed', error: { retryable: false, lost: false, ...ending.error } };
}

/** Sends what others must know; undefined when that is nothing. */
export function tellKin(family: Family, { run, parent, ending, closing, killed }: EndOfRun): Promise<void> | undefined {
  const told = isTold(parent);
  if (!told && closing.length === 0) return undefined;
  const reason = ending.status === 'cancelled' ? ending.reason : `its parent run ${run.runId} ${ending.status}`;
  const calls = closing.length === 0 ? [] : [family.close(run, closing, reason, killed)];
  if (told) calls.push(family.tell(run, parent, runEnding(ending)));
  return all(calls);
}

/** The run has ended, as the log says. */
export function tellKinOf(
  family: Family,
  run: RunRef,
  state: RunState,
  parent = state.parent,
): Promise<void> | undefined {
  const ending = endingOfState(state);
  if (ending === undefined) return undefined;
  const closing = toClose(state);
  return tellKin(family, { run, parent, ending, closing, killed: state.killed === true });
}

/** The run that a parent wanted to start as its child exists, and is not his. */
export function refuseParent(family: Family, run: RunRef, parent: Parent): Promise<void> | undefined {
  if (!isTold(parent)) return undefined;
  const message = `run ${run.runId} of ${run.workflow} exists, and was not started by this step`;
  const error = { code: 'MR_RUN_STATE', message, hint: 'give the child another run id', retryable: false, lost: false };
  return family.tell(run, parent, { status: 'failed', error });
}

/**
 * The start of a run that exists, by a parent who has not started it. (Attempts of one step may differ where the child's id
 * was chosen.)
 */
export function isForeignStart(
  body: InputBody,
  parent: Parent | undefined,
): body is Extract<InputBody, { kind: 'start' }> & { parent: Parent } {
  if (body.kind !== 'start' || body.parent === undefined) return false;
  const { workflow, runId, step } = body.parent;
  return parent?.workflow !== workflow || parent.runId !== runId || parent.step !== step;
}

async function all(calls: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(calls);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
