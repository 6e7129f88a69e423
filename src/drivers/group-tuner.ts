/**
 * Whether to put waiting messages into batches, found out by doing both.
 *
 * Job: a batch turns many fsyncs into one, but where the server does not wait for the disk it only costs. No API tells which
 * server one has, so while many wait, two short stretches of each are measured. Boundary: knows rates and times, sends nothing.
 *   T1 batches are kept only if they were at least 1.5 times as fast in every round of a comparison, or where fewer than 5.5
 *      messages a millisecond were stored one by one while others waited: that is what a disk that is waited for looks like;
 *   T2 a decision is looked at again: at ever longer intervals, and at once after a reconnect, when the server may be another.
 * Pure.
 */

export type Way = 'alone' | 'group';

const WINDOW_MS = 50;
const ROUNDS = 2;
const CLEARLY = 1.5;
/** Per ms. With an fsync for each message no server here stored more, without one 20 and more, once the code was warm. */
const SLOW = 5.5;
/** A comparison that rested for so long begins anew: the machine may be another by now. */
const STALE_MS = 2_000;
const FIRST_AGAIN_MS = 5_000;
/** A server may have been slow for another reason, a cold start say. */
const SLOW_AGAIN_MS = 1_000;
const MAX_AGAIN_MS = 60_000;

export class GroupTuner {
  #decision: Way = 'alone';
  /** What is being measured; undefined between comparisons. */
  #measuring: Way | undefined;
  #again = 0;
  #againMs = FIRST_AGAIN_MS;
  #round = 0;
  #last = 0;
  #messages = 0;
  #ms = 0;
  #aloneRate = 0;

  /** What to do while many wait. */
  get way(): Way {
    return this.#measuring ?? this.#decision;
  }

  /** True while the rate of messages sent alone is asked for. */
  get wantsAlone(): boolean {
    return this.#measuring === 'alone';
  }

  /** True while it looks whether the server would do without batches after all. Nobody needs to wait for it with all he has. */
  get isProbe(): boolean {
    return this.#measuring === 'alone' && this.#decision === 'group';
  }

  /** Many wait: begins a comparison when it is time for one. @param now ms, of a clock that never goes back */
  look(now: number): void {
    const due = this.#measuring === undefined ? now >= this.#again : now - this.#last > STALE_MS;
    if (!due) return;
    this.#round = 0;
    this.#measure('alone', now);
  }

  /** So many messages were stored in so many ms in which others waited all the time. A refused batch stored none. */
  measured(way: Way, messages: number, ms: number, now: number): void {
    if (way !== this.#measuring) return;
    this.#last = now;
    this.#messages += messages;
    this.#ms += ms;
    if (this.#ms < WINDOW_MS) return;
    const rate = this.#messages / this.#ms;
    if (way === 'alone') {
      if (rate < SLOW) return this.#decide('group', now, SLOW_AGAIN_MS);
      this.#aloneRate = rate;
      this.#measure('group', now);
    } else if (rate < this.#aloneRate * CLEARLY) {
      this.#decide('alone', now);
    } else if (++this.#round < ROUNDS) {
      this.#measure('alone', now);
    } else {
      this.#decide('group', now);
    }
  }

  /** The server takes no batches for this stream. */
  impossible(now: number): void {
    this.#decide('alone', now);
  }

  /** The server may be another one. */
  reset(): void {
    this.#measuring = undefined;
    this.#again = 0;
    this.#againMs = FIRST_AGAIN_MS;
  }

  #measure(way: Way, now: number): void {
    this.#measuring = way;
    this.#last = now;
    this.#messages = 0;
    this.#ms = 0;
  }

  #decide(way: Way, now: number, firstMs: number = FIRST_AGAIN_MS): void {
    // What was found again is likely to stay so.
    this.#againMs = way === this.#decision ? Math.min(MAX_AGAIN_MS, this.#againMs * 2) : firstMs;
    this.#decision = way;
    this.#measuring = undefined;
    this.#again = now + this.#againMs;
  }
}
