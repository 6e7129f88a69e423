import { derivedFraction } from './ids.ts';

/** How long to wait between attempts. All times in milliseconds. */
export interface BackoffPolicy {
  readonly initialMs: number;
  readonly factor: number;
  readonly maxMs: number;
  /** Share of the delay that is spread at random, 0 (none) to 1 (full). */
  readonly jitter: number;
}

/**
 * The delay before the next attempt, in whole milliseconds.
 *
 * @param failures how many attempts have failed so far, from 1
 * @param key names the thing that waits; the jitter is derived from it, so the same failure always waits as long
 */
export function backoffMs(policy: BackoffPolicy, failures: number, key: string): number {
  const growth = policy.factor ** Math.max(0, failures - 1); // may be infinite, and 0 × ∞ is no number
  const full = policy.initialMs === 0 ? 0 : Math.min(policy.maxMs, policy.initialMs * growth);
  const spread = full * policy.jitter * derivedFraction('backoff', key, failures);
  return Math.round(full - spread);
}
