/**
 * Hands results to the function one after another, each when all that followed from the one before has run.
 *
 * Job: the same order of results on every execution. Code may race its operations (`Promise.race`), so the order in which
 * their promises settle is part of what must repeat. Boundary: knows no journal; time only as "after what is running now".
 *
 *   F4 on replay results come in the order of the log; none that the log does not hold comes before its last one.
 */
export interface OrderPorts {
  /** Runs `then` once nothing of what is running now is left to do. */
  readonly defer: (then: () => void) => void;
  /** All results are out and all that followed from them has run. */
  readonly drained: () => void;
}

export class Order {
  readonly #ports: OrderPorts;
  /** Recorded operations in the order of the log. */
  readonly #recorded: readonly string[];
  readonly #asked = new Map<string, () => void>();
  readonly #afterReplay: (() => void)[] = [];
  #next = 0;
  #results: (() => void)[] = [];
  #delivering = false;
  #scheduled = false;
  closed = false;

  constructor(ports: OrderPorts, recorded: readonly string[]) {
    this.#ports = ports;
    this.#recorded = recorded;
  }

  get isReplaying(): boolean {
    return this.#next < this.#recorded.length;
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
  settle(give: () => void): void {
    if (!this.#delivering && !this.isReplaying && this.#results.length === 0) {
      this.#delivering = true;
      give();
    } else this.#results.push(give);
    this.schedule();
  }

  /** F4: the function asks for a recorded result; it comes when all before it have come. */
  replay(id: string, give: () => void): void {
    this.#asked.set(id, give);
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
    this.#ports.defer(() => {
      this.#scheduled = false;
      if (!this.closed) this.#step();
    });
  }

  #step(): void {
    this.#delivering = false;
    const expected = this.expected;
    if (expected !== undefined) {
      const give = this.#asked.get(expected);
      if (give === undefined) return this.#ports.drained();
      this.#asked.delete(expected);
      this.#next++;
      give();
      if (!this.isReplaying) for (const then of this.#afterReplay.splice(0)) then();
      return this.schedule();
    }
    const give = this.#results.shift();
    if (give === undefined) return this.#ports.drained();
    this.#delivering = true;
    give();
    this.schedule();
  }
}
