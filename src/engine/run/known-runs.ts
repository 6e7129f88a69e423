/**
 * What a controller remembers of runs between inputs. A cache: losing it costs a read, never a decision.
 *
 *   K1 a known state has every input up to `settled` handled, in order, and none above;
 *   K2 a run is doubtful from the moment an input of it was given back until a look-up from above that input;
 *   K3 no look-up is needed exactly when every input above `settled` is known to have come here, or (for a run whose log
 *      was just read) is acknowledged (see journal/chain.ts), and the run is not doubtful. A remembered run needs the
 *      former: what others acknowledged is in the log, not in this memory.
 */
import { isEnded, type RunState } from '../model/index.ts';

export interface KnownRun {
  readonly state: RunState;
  /** Every input of the run up to this sequence is handled; at least `state.lastInput`. */
  readonly settled: number;
}

export class KnownRuns {
  readonly #limit: number;
  readonly #runs = new Map<string, KnownRun>();
  /** The highest input that was given back, by run. */
  readonly #doubtful = new Map<string, number>();
  /** Too many doubts to name: every run settled no further than this is doubtful. */
  #doubtBelow = 0;
  #highest = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string): KnownRun | undefined {
    return this.#runs.get(key);
  }

  set(key: string, run: KnownRun): void {
    this.#highest = Math.max(this.#highest, run.settled);
    this.#runs.delete(key);
    // An ended run hears little more; what it would take of the memory belongs to those that are open.
    if (isEnded(run.state)) return;
    this.#runs.set(key, run);
    if (this.#runs.size <= this.#limit) return;
    const oldest = this.#runs.keys().next();
    if (oldest.done !== true) this.#runs.delete(oldest.value);
  }

  forget(key: string): void {
    this.#runs.delete(key);
  }

  /** An input of the run was given back: nothing is taken for granted about it. */
  doubt(key: string, seq: number): void {
    this.#runs.delete(key);
    this.#highest = Math.max(this.#highest, seq);
    this.#doubtful.set(key, Math.max(this.#doubtful.get(key) ?? 0, seq));
    if (this.#doubtful.size <= this.#limit) return;
    this.#doubtful.clear();
    this.#doubtBelow = this.#highest;
  }

  /**
   * Every input of the run below this one has been looked up and handled. What was given back above it is still open: an
   * older input, redelivered, must not make up for a newer one.
   */
  trust(key: string, seq: number): void {
    if ((this.#doubtful.get(key) ?? 0) <= seq) this.#doubtful.delete(key);
  }

  /**
   * K3, for the next input of the run.
   * @param fresh the run's log was read for this input
   */
  needsLookUp(key: string, settled: number, facts: { ownSince: number; restAcked: boolean; fresh: boolean }): boolean {
    if (this.#doubtful.has(key) || settled < this.#doubtBelow) return true;
    return settled < facts.ownSince && !(facts.fresh && facts.restAcked);
  }
}
