/** How the attempt of a step ends: completed, failed and tried again, or failed for good. Internal to the model. */
import { backoffMs, type Json } from '../../kernel/index.ts';
import { failStep } from './closing.ts';
import type { StepDefinition } from './definition.ts';
import type { Draft } from './draft.ts';
import type { Failure } from './inputs.ts';
import { startAttempt } from './start-attempt.ts';
import { isOut, stepOf } from './state.ts';

/** An attempt has failed: tries again if the policy allows it, else fails the step. */
export function failAttempt(draft: Draft, step: StepDefinition, error: Failure): void {
  const { attempt, failures, lost } = stepOf(draft.state, step.name);
  draft.cancelTimer({ kind: 'timeout', step: step.name, attempt });
  const left = error.lost ? lost < step.retry.maxLost : failures + 1 < step.retry.maxAttempts;
  const again = error.retryable && left;
  if (!again) return failStep(draft, step, attempt, error);
  const nth = error.lost ? lost + 1 : failures + 1;
  const delay = backoffMs(step.retry, nth, `${draft.state.runId}/${step.name}`);
  draft.emit({ type: 'StepRetryScheduled', step: step.name, attempt, error, retryAt: draft.at + delay });
  draft.setTimer({ kind: 'retry', step: step.name, attempt }, delay);
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
  draft.cancelTimer({ kind: 'timeout', step: step.name, attempt: current.attempt });
  draft.emit({ type: 'StepCompleted', step: step.name, attempt: current.attempt, output });
}
