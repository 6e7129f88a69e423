/**
 * Pieces of work that arrive in bursts, begun a few per turn of the event loop.
 *
 * One read of a socket can bring hundreds of messages. Begun at once they are decided, encoded and sent before anything else has
 * its turn: heartbeats, timers, answers to a health check, and the answers that the first of them wait for. Boundary: knows nothing
 * of the pieces but whether there is room for one more.
 *   L1 pieces begin in the order in which they came, and at most {@link PER_TURN} in one turn of the event loop.
 */

/** About 5 ms of a controller's or a worker's work: 0.1 to 0.2 ms a piece. */
export const PER_TURN = 32;

export interface SlicesOptions<T> {
  begin(piece: T): void;
  /** Whether one more may be begun; asked before each. */
  room(): boolean;
}

export class Slices<T> {
  readonly #options: SlicesOptions<T>;
  readonly #waiting: T[] = [];
  readonly #turnOver: () => void;
  /** In this turn. */
  #begun = 0;

  constructor(options: SlicesOptions<T>) {
    this.#options = options;
    this.#turnOver = () => {
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
    while (this.#begun < PER_TURN && this.#waiting.length > 0 && this.#options.room()) {
      if (this.#begun++ === 0) setImmediate(this.#turnOver);
      this.#options.begin(this.#waiting.shift() as T);
    }
  }

  /** Takes out what is not begun. */
  clear(): readonly T[] {
    return this.#waiting.splice(0);
  }
}
