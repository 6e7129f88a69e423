/** What a durable function sees when a step has failed for good. */
import type { Failure } from '../engine/index.ts';
import { isErrorCode, MillraceError } from '../kernel/index.ts';
import { failureOf as thrownFailure } from '../worker/index.ts';

/** All attempts of a step failed, or a wait for a signal was too long. The same on the first execution and on replay. */
export class StepError extends MillraceError {
  readonly step: string;
  readonly failure: Failure;

  constructor(step: string, failure: Failure) {
    const code = isErrorCode(failure.code) ? failure.code : 'MR_STEP_FAILED';
    super(code, failure.message, {
      next: 'terminal',
      ...(failure.hint === undefined ? {} : { hint: failure.hint }),
    });
    this.step = step;
    this.failure = failure;
  }
}

/** A child run failed or was cancelled, or could not be started. Its failure is the child's own. */
export class ChildError extends StepError {
  readonly workflow: string;
  readonly runId: string;

  constructor(step: string, failure: Failure, child: { readonly workflow: string; readonly runId: string }) {
    super(step, failure);
    this.workflow = child.workflow;
    this.runId = child.runId;
  }
}

/** What was thrown, as the journal keeps it. */
export function failureOf(error: unknown): Failure {
  return error instanceof StepError ? error.failure : thrownFailure(error);
}
