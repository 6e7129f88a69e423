/** Hands out one attempt of a step. Internal to the model. */
import type { Json } from '../../kernel/index.ts';
import type { StepDefinition } from './definition.ts';
import type { Draft } from './draft.ts';

export function startAttempt(draft: Draft, step: StepDefinition, attempt: number, input: Json): void {
  draft.emit({ type: 'StepScheduled', step: step.name, attempt, input });
  if (step.timeoutMs !== undefined) {
    draft.setTimer({ kind: 'timeout', step: step.name, attempt }, step.timeoutMs);
  }
}
