/** When a step that failed is tried again. Pure. */
import type { Failure } from '../engine/index.ts';
import { backoffMs, MillraceError } from '../kernel/index.ts';
import type { StepOptions, StepRetry } from './types.ts';

const DEFAULT_RETRY = { initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.2, maxAttempts: 3 } as const;

/** A step that has just failed once more. Times in ms since the epoch. */
export interface Tried {
  /** Attempts that count and failed, this one included. */
  readonly failures: number;
  /** When the code asked for the step, or a person for more attempts. */
  readonly since: number;
  readonly now: number;
  /** Names the step: the jitter is derived from it. */
  readonly key: string;
}

/** How long to wait for the next attempt, in ms; undefined when there is none. */
export function delayOf(retry: StepRetry | undefined, error: Failure, tried: Tried): number | undefined {
  const policy = { ...DEFAULT_RETRY, ...retry };
  if (!error.retryable || tried.failures >= policy.maxAttempts) return undefined;
  const delay = error.retryAfterMs ?? backoffMs(policy, tried.failures, tried.key);
  const { maxElapsedMs } = policy;
  return maxElapsedMs !== undefined && tried.now + delay - tried.since >= maxElapsedMs ? undefined : delay;
}

/** Whether the policy names the error: by the failure's code, or by the name of its class or of one that it extends. */
export function isNonRetryable(retry: StepRetry | undefined, error: Failure, thrown: unknown): boolean {
  const names = retry?.nonRetryable;
  if (names === undefined || names.length === 0) return false;
  if (names.includes(error.code)) return true;
  if (!(thrown instanceof Error)) return false;
  if (names.includes(thrown.name)) return true;
  for (let at: object | null = thrown; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    if (names.includes(at.constructor.name)) return true;
  }
  return false;
}

/**
 * Options as they can be meant.
 * @throws MillraceError MR_USAGE
 */
export function checkOptions(step: string, { retry, timeoutMs, heartbeatTimeoutMs }: StepOptions): void {
  positive(step, 'timeoutMs', timeoutMs);
  positive(step, 'heartbeatTimeoutMs', heartbeatTimeoutMs);
  if (retry === undefined) return;
  positive(step, 'retry.maxElapsedMs', retry.maxElapsedMs);
  if (retry.maxAttempts !== undefined && !(retry.maxAttempts >= 1)) {
    throw usage(step, `retry.maxAttempts is ${retry.maxAttempts}`, 'the first attempt counts: give 1 or more');
  }
}

function positive(step: string, option: string, value: number | undefined): void {
  if (value === undefined || value > 0) return;
  throw usage(step, `${option} is ${value}`, 'give milliseconds, more than 0, or leave it out');
}

function usage(step: string, what: string, hint: string): MillraceError {
  return new MillraceError('MR_USAGE', `step "${step}": ${what}`, { hint });
}
