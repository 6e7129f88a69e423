/** What a handler may throw, and how anything thrown becomes a failure in the journal. Pure. */
import type { z } from 'zod';
import type { Failure } from '../engine/index.ts';
import { type ErrorCode, isMillraceError, MillraceError, messageOf } from '../kernel/index.ts';

/** Thrown by a handler: this attempt failed and another one cannot help. */
export class NonRetryableError extends MillraceError {
  /**
   * @param message what is wrong, for the person who reads the run
   * @param details `hint` says what to do about it; `cause` keeps the original error
   */
  constructor(message: string, details: { readonly hint?: string; readonly cause?: unknown } = {}) {
    super('MR_STEP_FAILED', message, { ...details, next: 'terminal' });
  }
}

/** Thrown by a handler or a step: this attempt failed, and the next one makes sense in so many ms, whatever the backoff is. */
export class RetryAfter extends MillraceError {
  readonly retryAfterMs: number;

  /**
   * @param retryAfterMs from now, at least 0
   * @param message what is wrong, for the person who reads the run
   * @throws MillraceError MR_USAGE for a time that is none
   */
  constructor(
    retryAfterMs: number,
    message: string,
    details: { readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    if (!(retryAfterMs >= 0 && Number.isFinite(retryAfterMs))) {
      throw new MillraceError('MR_USAGE', `a retry after ${retryAfterMs} ms is not possible`, {
        hint: 'give milliseconds from now, 0 or more',
      });
    }
    super('MR_STEP_FAILED', message, { ...details, next: 'retry' });
    this.retryAfterMs = retryAfterMs;
  }
}

/** A failure that ends the step. */
export function terminalFailure(code: ErrorCode, message: string, hint?: string): Failure {
  return { code, message, retryable: false, lost: false, ...(hint === undefined ? {} : { hint }) };
}

const OWN_CODE = /^[A-Z][A-Z0-9_]{1,63}$/;

/**
 * An error that is not of this project may be tried again. Its code is its own (`ECONNREFUSED`, `CARD_DECLINED`) if it has
 * one, and its class is noted if it is one of somebody's making, so that a policy can name it.
 */
function foreignFailure(error: unknown): Failure {
  const own = error instanceof Error && 'code' in error ? error.code : undefined;
  const code = typeof own === 'string' && OWN_CODE.test(own) && !own.startsWith('MR_') ? own : 'MR_STEP_FAILED';
  const type = error instanceof Error ? error.constructor.name : 'Error';
  const noted = type === 'Error' || type === '' ? {} : { type };
  return { code, ...noted, message: messageOf(error), retryable: true, lost: false };
}

/** What was thrown, as data. */
export function failureOf(error: unknown): Failure {
  if (!isMillraceError(error)) return foreignFailure(error);
  return {
    code: error.code,
    message: error.message,
    retryable: error.next !== 'terminal',
    lost: false,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error instanceof RetryAfter ? { retryAfterMs: error.retryAfterMs } : {}),
  };
}

/** A path inside a value, as people write it: `flights[3].delay`; empty for the value itself. */
export function formatPath(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += text === '' ? String(part) : `.${String(part)}`;
  }
  return text;
}

const SHOWN = 3;

/** The first problems zod found, each with its path. */
export function describeIssues(error: z.ZodError): string {
  const shown = error.issues.slice(0, SHOWN).map((issue) => {
    const path = formatPath(issue.path);
    return path === '' ? issue.message : `${path}: ${issue.message}`;
  });
  const more = error.issues.length - shown.length;
  return more > 0 ? `${shown.join('; ')} (and ${more} more)` : shown.join('; ');
}
