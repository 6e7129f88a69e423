/**
 * The end of a run that does not complete: what is open is closed, what was done is compensated, then it has failed or is
 * cancelled.
 *
 *   1. It is to end: no step begins any more. With a grace time, attempts that are out may still report (`RunClosing`, timer
 *      `grace/<retries>`); without one they are cancelled at once.
 *   2. Completed steps that declare a compensation are undone by steps `undo:<step>`, one after another, the last first.
 *   3. The run has ended. Without a compensation and a grace time that is all, in the entry that decided it.
 */
import type { Json } from '../../kernel/index.ts';
import type { CompensationDefinition, StepDefinition } from './definition.ts';
import { findStep } from './definition-index.ts';
import type { Draft } from './draft.ts';
import { stepsOut } from './evolve.ts';
import type { Failure } from './inputs.ts';
import { awaitsSlot, startAttempt } from './start-attempt.ts';
import {
  type Closing,
  isOpen,
  isOut,
  isUndo,
  itemAt,
  itemsOf,
  type RunState,
  type StepState,
  stepOf,
  undoName,
} from './state.ts';
import { parseTimer } from './timers.ts';
import { expressionFailure, membersOf } from './variables.ts';

export function cancelTimers(draft: Draft): void {
  for (const timer of Object.keys(draft.state.timers)) draft.emit({ type: 'TimerCancelled', timer });
}

/** Steps that are open: the declared ones in their order, then those that came of them (compensations, items). */
function openSteps(draft: Draft): readonly StepState[] {
  const declared = draft.definition.steps.map(({ name }) => stepOf(draft.state, name));
  const undoing = Object.values(draft.state.steps).filter(({ name }) => isUndo(name));
  return [...declared, ...undoing, ...itemsOf(draft.state)].filter(isOpen);
}

/** Ends everything of the run that is still open, with the reason. */
export function closeOpenSteps(draft: Draft, reason: string, killed = false): void {
  for (const { name, attempt } of openSteps(draft)) {
    draft.emit({ type: 'StepCancelled', step: name, attempt, reason, ...(killed ? { killed } : {}) });
  }
  cancelTimers(draft);
}

/** `true` while somebody may report on the step itself: a step with items is out in them. */
function isAway(step: StepState): boolean {
  return isOut(step) && step.items === undefined;
}

/** A step has failed for good: the run fails, what else is open is cancelled. While it is closed already, it goes on with that. */
export function failStep(draft: Draft, step: Pick<StepDefinition, 'name'>, attempt: number, error: Failure): void {
  draft.emit({ type: 'StepFailed', step: step.name, attempt, error });
  if (draft.state.closing !== undefined) return goOnClosing(draft);
  const item = draft.state.items === undefined ? undefined : itemAt(step.name);
  if (item !== undefined) return failItem(draft, item, error);
  closeRun(draft, { outcome: 'failed', error, step: step.name }, `step "${step.name}" failed`);
}

/** An item has failed for good: so has its step, unless it collects what its items come to. */
function failItem(draft: Draft, { step, n }: { readonly step: string; readonly n: number }, error: Failure): void {
  if (draft.state.items?.[step]?.collect === true) return; // it goes on with the others
  failStep(draft, { name: step }, stepOf(draft.state, step).attempt, {
    ...error,
    message: `item ${n}: ${error.message}`,
  });
}

/** Ends the run at once, but for what is to be compensated. @param reason stands at the steps that are cancelled */
export function closeRun(draft: Draft, closing: Closing, reason: string): void {
  closeOpenSteps(draft, reason);
  if ((draft.state.undo ?? []).length === 0) return end(draft, closing);
  // One that waits for its slots once more undoes what it did before without them.
  if (draft.state.status === 'queued') draft.emit({ type: 'RunAdmitted' });
  draft.emit({ type: 'RunClosing', ...closing });
  compensate(draft, closing);
}

/** What somebody who cancels says. */
export interface Cancel {
  readonly reason: string;
  readonly by?: string | undefined;
  readonly graceMs?: number | undefined;
  /** A step whose attempt has ended: it is not waited for. */
  readonly ended?: string;
}

/** Cancels the run, if it is open and not being closed already. */
export function cancelRun(draft: Draft, { reason, by, graceMs = draft.definition.graceMs ?? 0, ended }: Cancel): void {
  const { status, closing: already, retries } = draft.state;
  if ((status !== 'running' && status !== 'queued') || already !== undefined) return;
  const closing: Closing = { outcome: 'cancelled', reason, ...(by === undefined ? {} : { by }) };
  const open = openSteps(draft);
  const waits = (step: StepState): boolean =>
    isOut(step) && step.name !== ended && !awaitsSlot(findStep(draft.definition, step.name), step);
  if (graceMs === 0 || !open.some((step) => isAway(step) && waits(step))) return closeRun(draft, closing, reason);
  for (const step of open) {
    if (!waits(step)) draft.emit({ type: 'StepCancelled', step: step.name, attempt: step.attempt, reason });
  }
  for (const timer of Object.keys(draft.state.timers)) {
    if (!isOfOut(draft.state, timer)) draft.emit({ type: 'TimerCancelled', timer });
  }
  draft.emit({ type: 'RunClosing', ...closing, graceMs });
  draft.setTimer({ kind: 'grace', retries }, graceMs);
}

/** `true` for a timer of an attempt that is out. */
function isOfOut(state: RunState, timer: string): boolean {
  const name = parseTimer(timer);
  return name !== undefined && 'step' in name && isOut(stepOf(state, name.step));
}

/** At once: nothing is waited for, nothing is compensated. */
export function killRun(draft: Draft, { reason, by }: Cancel): void {
  const { status } = draft.state;
  if (status !== 'running' && status !== 'queued') return;
  closeOpenSteps(draft, reason, true);
  draft.emit({ type: 'RunCancelled', reason, ...(by === undefined ? {} : { by }), killed: true });
}

/** A run that is being closed goes on with it, once nobody is waited for any more. */
export function goOnClosing(draft: Draft): void {
  const { closing, retries, timers } = draft.state;
  if (closing === undefined || draft.state.status !== 'running') return;
  const inGrace = timers[`grace/${retries}`] !== undefined;
  if (inGrace && stepsOut(draft.state).length > 0) return;
  if (inGrace) return graceOver(draft);
  compensate(draft, closing);
}

/** The grace time is over, or not needed any more. */
export function graceOver(draft: Draft): void {
  const { closing } = draft.state;
  if (closing === undefined) return;
  closeOpenSteps(draft, closing.reason ?? 'the run is cancelled');
  compensate(draft, closing);
}

/** Begins the next compensation, unless one is under way; behind the last one the run ends. */
function compensate(draft: Draft, closing: Closing): void {
  for (;;) {
    const next = nextToUndo(draft);
    if (next === undefined) return end(draft, closing);
    const undo = stepOf(draft.state, undoName(next));
    if (isOpen(undo)) return;
    undoStep(draft, next, undo.attempt + 1);
  }
}

/** The step that completed last and has not been undone; one whose compensation has failed is left alone. */
function nextToUndo({ state, definition }: Draft): string | undefined {
  return state.undo?.findLast(
    (name) => stepOf(state, undoName(name)).status !== 'failed' && findStep(definition, undoName(name)) !== undefined,
  );
}

function undoStep(draft: Draft, name: string, attempt: number): void {
  const undo = findStep(draft.definition, undoName(name));
  const how = findStep(draft.definition, name)?.compensate;
  if (undo === undefined || how === undefined) return;
  let input: Json;
  try {
    input = inputOfUndo(draft, name, how);
  } catch (error) {
    return draft.emit({ type: 'StepFailed', step: undo.name, attempt, error: expressionFailure(error) });
  }
  startAttempt(draft, undo, attempt, input);
}

function inputOfUndo(draft: Draft, name: string, how: CompensationDefinition): Json {
  if (how.with !== undefined) return membersOf(draft, how.with);
  const { input = null, output = null } = stepOf(draft.state, name);
  return { payload: draft.state.payload, input, output };
}

function end(draft: Draft, { outcome, error, step, reason, by }: Closing): void {
  cancelTimers(draft);
  if (outcome === 'cancelled') {
    const why = reason ?? 'cancelled';
    return draft.emit({ type: 'RunCancelled', reason: why, ...(by === undefined ? {} : { by }) });
  }
  const failure = error ?? { code: 'MR_STEP_FAILED', message: 'failed', retryable: false, lost: false };
  draft.emit({ type: 'RunFailed', error: failure, ...(step === undefined ? {} : { step }) });
}
