/**
 * What the attempts of one step say of their progress: for the next attempt, and so in the log. Not every beat goes there: the
 * log is for what survives a process, and a beat a second for a day is not a history.
 */
import type { Json } from '../kernel/index.ts';

/** How often details are recorded where no heartbeat is waited for, in ms. */
const RECORD_MS = 15_000;

export class Beats {
  readonly #everyMs: number;
  #latest: Json | undefined;
  #recordedAt = Number.NEGATIVE_INFINITY;
  #isRecorded = true;
  /** What the attempts before this one left. */
  progress: Json | undefined;

  /** @param heartbeatMs how long an attempt may be silent; its details are recorded twice in that time at most */
  constructor(progress: Json | undefined, heartbeatMs: number | undefined) {
    this.progress = progress;
    this.#latest = progress;
    this.#everyMs = heartbeatMs === undefined ? RECORD_MS : heartbeatMs / 2;
  }

  /** True when the details are to be recorded now. */
  beat(details: Json, now: number): boolean {
    this.#latest = details;
    this.#isRecorded = false;
    return now - this.#recordedAt >= this.#everyMs;
  }

  /** Details that the log does not have; undefined when it has them. Whoever asks records them. */
  take(now: number): Json | undefined {
    if (this.#isRecorded) return undefined;
    this.#isRecorded = true;
    this.#recordedAt = now;
    return this.#latest;
  }

  /** Another attempt begins. */
  next(): void {
    this.progress = this.#latest;
  }
}
