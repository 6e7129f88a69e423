/** Hands out one attempt of a step, and notes when it has begun. Internal to the model. */
import type { Json } from '../../kernel/index.ts';
import { childRef } from './child-ref.ts';
import type { QueueLimit, StepDefinition } from './definition.ts';
import type { Draft } from './draft.ts';
import { type StepState, stepOf } from './state.ts';

export function startAttempt(draft: Draft, step: StepDefinition, attempt: number, input: Json): void {
  const { name, queueTimeoutMs, retry } = step;
  const since =
    retry.maxElapsedMs === undefined || stepOf(draft.state, name).since !== undefined ? {} : { since: draft.at };
  const { action } = step;
  const child = action.kind === 'child' ? { child: childRef(draft.state, action, name, attempt) } : {};
  draft.emit({ type: 'StepScheduled', step: name, attempt, input, ...since, ...child });
  // With a time of its own for waiting in the queue, the attempt's time begins when it does.
  if (queueTimeoutMs !== undefined) return draft.setTimer({ kind: 'queue', step: name, attempt }, queueTimeoutMs);
  if (limitOf(step) === undefined) handedOut(draft, step, attempt); // else it is once it has its slot
}

/** The limit of the step's queue. */
export function limitOf({ action }: StepDefinition): QueueLimit | undefined {
  return action.kind === 'worker' ? action.limit : undefined;
}

/** `true` for an attempt that is not handed out yet, since its queue has no slot for it. */
export function awaitsSlot(step: StepDefinition | undefined, { status, slot }: StepState): boolean {
  return step !== undefined && status === 'scheduled' && slot === undefined && limitOf(step) !== undefined;
}

/** Its time begins; with a time of its own for waiting in the queue, it does when the attempt begins. */
export function handedOut(draft: Draft, { name, timeoutMs, queueTimeoutMs }: StepDefinition, attempt: number): void {
  if (queueTimeoutMs === undefined && timeoutMs !== undefined) {
    draft.setTimer({ kind: 'timeout', step: name, attempt }, timeoutMs);
  }
}

/** The attempt has begun; said once. */
export function begun(draft: Draft, step: StepDefinition, attempt: number, worker: string): void {
  const { name, timeoutMs, queueTimeoutMs, heartbeatTimeoutMs } = step;
  if (stepOf(draft.state, name).status !== 'scheduled') return;
  draft.emit({ type: 'StepStarted', step: name, attempt, worker });
  if (queueTimeoutMs !== undefined) {
    draft.cancelTimer({ kind: 'queue', step: name, attempt });
    if (timeoutMs !== undefined) draft.setTimer({ kind: 'timeout', step: name, attempt }, timeoutMs);
  }
  if (heartbeatTimeoutMs !== undefined) draft.setTimer({ kind: 'heartbeat', step: name, attempt }, heartbeatTimeoutMs);
}
