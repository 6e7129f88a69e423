/**
 * Pieces of work that arrive in bursts, begun a few per turn of the event loop.
 *
 * One read of a socket can bring hundreds of messages. Begun at once they are decided, encoded and sent before anything else has
 * its turn: heartbeats, timers, answers to a health check, and the answers that the first of them wait for. Boundary: knows nothing
 * of the pieces but whether there is room for one more.
 *   L1 pieces begin in the order in which they came, and at most so many in one turn of the event loop: `PER_TURN`, twice as
 *      many after each turn that was short although that limit ended it, half as many after a long one, never more than `MOST`.
 */

/** About 5 ms of a controller's or a worker's work: 0.1 to 0.2 ms a piece. Never fewer. */
export const PER_TURN = 32;
/** Cheap pieces: a turn costs a write and a wait of its own, which so many share. */
export const MOST = 256;
const SHORT_MS = 5;
const LONG_MS = 10;

export interface SlicesOptions<T> {
  begin(piece: T): void;
  /** Whether one more may be begun; asked before each. */
  room(): boolean;
  /** In ms, of a clock that never goes back; the process's unless given. */
  now?(): number;
}

export class Slices<T> {
  readonly #options: SlicesOptions<T>;
  readonly #waiting: T[] = [];
  readonly #turnOver: () => void;
  readonly #now: () => number;
  /** In this turn, since when, and of how many. */
  #begun = 0;
  #since = 0;
  #limit = PER_TURN;

  constructor(options: SlicesOptions<T>) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#turnOver = () => {
      const ms = this.#now() - this.#since;
      if (ms > LONG_MS) this.#limit = Math.max(PER_TURN, this.#limit / 2);
      else if (ms < SHORT_MS && this.#begun === this.#limit) this.#limit = Math.min(MOST, this.#limit * 2);
      this.#begun = 0;
      this.go();
    };
  }

  /** Those that have come and are not begun. */
  get waiting(): number {
    return this.#waiting.length;
  }

  push(piece: T): void {
    this.#waiting.push(piece);
    this.go();
  }

  /** Begins what may be begun; for when there is room again. */
  go(): void {
    while (this.#begun < this.#limit && this.#waiting.length > 0 && this.#options.room()) {
      if (this.#begun++ === 0) {
        this.#since = this.#now();
        setImmediate(this.#turnOver);
      }
      this.#options.begin(this.#waiting.shift() as T);
    }
  }

  /** Takes out what is not begun. */
  clear(): readonly T[] {
    return this.#waiting.splice(0);
  }
}
