/** How the attempt of a step ends: completed, failed and tried again, paused, or failed for good. Internal to the model. */
import { backoffMs, type Json } from '../../kernel/index.ts';
import { failStep, goOnClosing } from './closing.ts';
import type { RetryPolicy, StepDefinition } from './definition.ts';
import type { Draft } from './draft.ts';
import type { Failure } from './inputs.ts';
import { startAttempt } from './start-attempt.ts';
import { isOut, isUndo, type StepState, stepOf } from './state.ts';

/** The timers of an attempt that is over. */
function cancelTimersOf(draft: Draft, step: StepDefinition, attempt: number): void {
  draft.cancelTimer({ kind: 'timeout', step: step.name, attempt });
  if (step.queueTimeoutMs !== undefined) draft.cancelTimer({ kind: 'queue', step: step.name, attempt });
  if (step.heartbeatTimeoutMs !== undefined) draft.cancelTimer({ kind: 'heartbeat', step: step.name, attempt });
}

function isHopeless({ nonRetryable = [] }: RetryPolicy, { code, type }: Failure): boolean {
  return nonRetryable.includes(code) || (type !== undefined && nonRetryable.includes(type));
}

/** How long to wait before the next attempt; undefined: there is none. */
function delayOf(draft: Draft, { retry }: StepDefinition, step: StepState, error: Failure): number | undefined {
  const { failures, lost, since } = step;
  if (!error.retryable || isHopeless(retry, error)) return undefined;
  const left = error.lost ? lost < retry.maxLost : failures + 1 < retry.maxAttempts;
  if (!left) return undefined;
  const nth = error.lost ? lost + 1 : failures + 1;
  const delay = error.retryAfterMs ?? backoffMs(retry, nth, `${draft.state.runId}/${step.name}`);
  const late = retry.maxElapsedMs !== undefined && since !== undefined && draft.at + delay - since > retry.maxElapsedMs;
  return late ? undefined : delay;
}

/** An attempt has failed: tries again if the policy allows it, else the step waits for a person or fails. */
export function failAttempt(draft: Draft, step: StepDefinition, error: Failure): void {
  const current = stepOf(draft.state, step.name);
  const { attempt } = current;
  cancelTimersOf(draft, step, attempt);
  if (draft.state.closing !== undefined && !isUndo(step.name)) return failLast(draft, step, attempt, error);
  const delay = delayOf(draft, step, current, error);
  if (delay === undefined) {
    if (step.retry.onExhausted !== 'pause') return failStep(draft, step, attempt, error);
    return draft.emit({ type: 'StepPaused', step: step.name, attempt, error });
  }
  draft.emit({ type: 'StepRetryScheduled', step: step.name, attempt, error, retryAt: draft.at + delay });
  draft.setTimer({ kind: 'retry', step: step.name, attempt }, delay);
}

/** The run is being closed and the attempt has ended in time: there is no other. */
function failLast(draft: Draft, { name }: StepDefinition, attempt: number, error: Failure): void {
  if (error.code !== 'MR_CANCELLED') return failStep(draft, { name }, attempt, error);
  cancelAttempt(draft, name, error.message);
}

/** The attempt has stopped because it was told to. */
export function cancelAttempt(draft: Draft, step: string, reason: string): void {
  draft.emit({ type: 'StepCancelled', step, attempt: stepOf(draft.state, step).attempt, reason });
  goOnClosing(draft);
}

/** The backoff is over: the next attempt, with the same input. */
export function retryAttempt(draft: Draft, step: StepDefinition): void {
  const { attempt, input, status } = stepOf(draft.state, step.name);
  if (status === 'backoff') startAttempt(draft, step, attempt + 1, input ?? null);
}

/** Completes the attempt that is out. */
export function completeAttempt(draft: Draft, step: StepDefinition, output: Json): void {
  const current = stepOf(draft.state, step.name);
  if (!isOut(current) && current.status !== 'waiting') return;
  cancelTimersOf(draft, step, current.attempt);
  draft.emit(completed(step, current, output));
}

function completed(step: StepDefinition, { name, attempt }: StepState, output: Json) {
  const done = { type: 'StepCompleted', step: name, attempt, output } as const;
  // An item of a step is compensated with the whole step.
  return step.compensate === undefined || name !== step.name ? done : ({ ...done, undo: true } as const);
}
