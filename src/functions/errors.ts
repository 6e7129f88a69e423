/** What a durable function sees when a step has failed for good. */
import type { Failure } from '../engine/index.ts';
import { isErrorCode, isMillraceError, MillraceError, messageOf } from '../kernel/index.ts';

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

/** What was thrown, as the journal keeps it. */
export function failureOf(error: unknown): Failure {
  if (error instanceof StepError) return error.failure;
  if (!isMillraceError(error)) {
    return { code: 'MR_STEP_FAILED', message: messageOf(error), retryable: true, lost: false };
  }
  const hint = error.hint === undefined ? {} : { hint: error.hint };
  return { code: error.code, message: error.message, ...hint, retryable: error.next !== 'terminal', lost: false };
}
