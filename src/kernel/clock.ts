/** The ports through which everything outside the pure core sees time and chance. */

/** Wall clock in milliseconds since the epoch. */
export interface Clock {
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Chance in [0, 1). */
export interface RandomSource {
  next(): number;
}
