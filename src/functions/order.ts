/**
 * Hands results to the function one after another, each when all that followed from the one before has run.
 *
 * Job: the same order of results on every execution. Code may race its operations (`Promise.race`), so the order in which
 * their promises settle is part of what must repeat. Boundary: knows no journal; time only as "after what is running now".
 *
 *   F4 on replay results come in the order of the log; none that the log does not hold comes before its last one.
 */
export interface OrderOwner {
  /** `defer` runs `then` once nothing of what is running now is left to do. */
  readonly ports: { readonly defer: (then: () => void) => void };
  /** The journal's time as the function sees it: set before each result to that of its entry. */
  now: number;
  /** All results are out and all that followed from them has run. */
  drained(): void;
}

interface Given {
  readonly at: number;
  readonly give: () => void;
}

export class Order {
  readonly #owner: OrderOwner;
  /** Recorded operations in the order of the log. */
  readonly #recorded: readonly string[];
  #asked: Map<string, Given> | undefined;
  #afterReplay: (() => void)[] = [];
  readonly #turn = (): void => {
    this.#scheduled = false;
    if (!this.closed) this.#step();
  };
  #next = 0;
  #results: Given[] = [];
  #scheduled = false;
  closed = false;

  constructor(owner: OrderOwner, recorded: readonly string[]) {
    this.#owner = owner;
    this.#recorded = recorded;
  }

  get isReplaying(): boolean {
    return this.#next < this.#recorded.length;
  }

  /** The code has not asked for what the log has next. (What it did ask for, and lost interest in, comes when its turn comes.) */
  get isStuck(): boolean {
    const { expected } = this;
    return expected !== undefined && this.#asked?.has(expected) !== true;
  }

  /** The recorded operation that the function has not asked for yet; undefined when there is none. */
  get expected(): string | undefined {
    return this.#recorded[this.#next];
  }

  /** How many recorded results have been given back. */
  get replayed(): number {
    return this.#next;
  }

  /** Gives a new result, in its turn. */
  settle(at: number, give: () => void): void {
    // Not even the first at once: on replay it comes when nothing runs, and code that it overtakes must not notice.
    this.#results.push({ at, give });
    this.schedule();
  }

  /** F4: the function asks for a recorded result; it comes when all before it have come. */
  replay(id: string, at: number, give: () => void): void {
    this.#asked ??= new Map();
    this.#asked.set(id, { at, give });
    this.schedule();
  }

  /** Runs it once the whole recorded history has been given back. */
  afterReplay(then: () => void): void {
    if (this.isReplaying) this.#afterReplay.push(then);
    else then();
  }

  schedule(): void {
    if (this.#scheduled || this.closed) return;
    this.#scheduled = true;
    this.#owner.ports.defer(this.#turn);
  }

  #step(): void {
    const expected = this.expected;
    if (expected !== undefined) {
      const given = this.#asked?.get(expected);
      if (given === undefined) return this.#owner.drained();
      this.#asked?.delete(expected);
      this.#next++;
      this.#owner.now = given.at;
      given.give();
      if (!this.isReplaying) for (const then of this.#afterReplay.splice(0)) then();
      return this.schedule();
    }
    const given = this.#results.shift();
    if (given === undefined) return this.#owner.drained();
    this.#owner.now = given.at;
    given.give();
    this.schedule();
  }
}
