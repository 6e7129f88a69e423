/**
 * What a controller can know about deliveries that went elsewhere.
 *
 * A shared consumer numbers its deliveries one after another, whoever gets them. As long as the numbers that come here
 * have no gap, nothing went elsewhere. First deliveries come in the order of the stream, so:
 *
 *   C1 after a first delivery of sequence s, with no gap since, every input above s - 1 has come here or is yet to come;
 *   C2 once the server says that everything up to s - 1 is acknowledged, every input that is not acknowledged has come
 *      here. What is acknowledged was handled by somebody: its transitions are in the log, but not necessarily in what
 *      this process remembers. So C2 speaks for a run whose log was just read, never for a remembered one.
 *
 * `ownSince` is the s - 1 of C1, `restAcked` says that C2 holds. Pure.
 */
export interface DeliveryFact {
  /** The consumer's number of this delivery. */
  readonly deliverySeq: number;
  /** The input's sequence in the stream. */
  readonly seq: number;
  /** 1 on first delivery. */
  readonly deliveries: number;
}

export class DeliveryChain {
  #last: number | undefined;
  #ownSince = Number.POSITIVE_INFINITY;
  #restAcked = false;
  #length = 0;
  readonly #patience: number;

  /** @param patience deliveries in a row before the server is worth asking for its ack floor */
  constructor(patience = 16) {
    this.#patience = patience;
  }

  /** Takes note of a delivery; true when none went elsewhere since the one before. */
  observe(fact: DeliveryFact): boolean {
    const contiguous = this.#last !== undefined && fact.deliverySeq === this.#last + 1;
    this.#last = fact.deliverySeq;
    if (contiguous) this.#length++;
    else {
      this.#length = 1;
      this.#restAcked = false;
      // The very first delivery of a consumer's life: nothing can have gone elsewhere before.
      this.#ownSince = fact.deliverySeq === 1 ? 0 : Number.POSITIVE_INFINITY;
    }
    if (this.#ownSince === Number.POSITIVE_INFINITY && fact.deliveries === 1) this.#ownSince = fact.seq - 1;
    return contiguous;
  }

  /** Inputs above this sequence came here (C1). */
  get ownSince(): number {
    return this.#ownSince;
  }

  /** Inputs up to `ownSince` are acknowledged (C2). */
  get restAcked(): boolean {
    return this.#restAcked || this.#ownSince === 0;
  }

  /** True when it is worth asking the server for its ack floor. */
  get wantsFloor(): boolean {
    return this.#length >= this.#patience && !this.restAcked && this.#ownSince !== Number.POSITIVE_INFINITY;
  }

  /** @param floor everything up to this stream sequence is acknowledged; asked for while the chain was at `ownSince` */
  settle(floor: number, askedAt: number): void {
    if (askedAt === this.#ownSince && floor >= this.#ownSince) this.#restAcked = true;
  }

  /**
   * The consumer was bound anew, or the server was away: deliveries may have gone elsewhere meanwhile, and a server that
   * was killed may number them from a little further back.
   */
  reset(): void {
    this.#last = undefined;
    this.#length = 0;
    this.#restAcked = false;
    this.#ownSince = Number.POSITIVE_INFINITY;
  }
}
