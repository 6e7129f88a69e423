/**
 * Which messages have been in hand so long that the server must be told to wait on. Pure: the caller has the clock.
 *
 * Whoever calls `tick` every third of the ack wait is given each message that has been in hand for a whole tick or more, so none is
 * silent for longer than two thirds of it; a message that is dealt with at once costs an entry in a set, no timer, no look at a clock.
 */
export class Holding<T> {
  readonly #young = new Set<T>();
  readonly #old = new Set<T>();

  take(message: T): void {
    this.#young.add(message);
  }

  release(message: T): void {
    if (!this.#young.delete(message)) this.#old.delete(message);
  }

  /** Those in hand since the last tick or longer. */
  tick(): readonly T[] {
    const due = [...this.#old];
    for (const message of this.#young) this.#old.add(message);
    this.#young.clear();
    return due;
  }
}
