/** The end of a run that does not complete: what is open is closed, then it has failed or is cancelled. */
import type { StepDefinition } from './definition.ts';
import type { Draft } from './draft.ts';
import type { Failure } from './inputs.ts';
import { stepOf } from './state.ts';

export function cancelTimers(draft: Draft): void {
  for (const timer of Object.keys(draft.state.timers)) draft.emit({ type: 'TimerCancelled', timer });
}

/** Ends everything of the run that is still open, with the reason. */
export function closeOpenSteps(draft: Draft, reason: string): void {
  for (const step of draft.definition.steps) {
    const { status, attempt } = stepOf(draft.state, step.name);
    if (status === 'scheduled' || status === 'running' || status === 'waiting' || status === 'backoff') {
      draft.emit({ type: 'StepCancelled', step: step.name, attempt, reason });
    }
  }
  cancelTimers(draft);
}

/** A step has failed for good: the run fails, what else is open is cancelled. */
export function failStep(draft: Draft, step: StepDefinition, attempt: number, error: Failure): void {
  draft.emit({ type: 'StepFailed', step: step.name, attempt, error });
  closeOpenSteps(draft, `step "${step.name}" failed`);
  draft.emit({ type: 'RunFailed', error, step: step.name });
}

/** Cancels the run, if it is open. */
export function cancelRun(draft: Draft, body: { reason: string; by?: string | undefined }): void {
  if (draft.state.status !== 'running') return;
  closeOpenSteps(draft, body.reason);
  draft.emit({ type: 'RunCancelled', reason: body.reason, ...(body.by === undefined ? {} : { by: body.by }) });
}
