/**
 * Places of steps that are to be looked at, in the order of rounds over the definition: a step that becomes worth a look
 * while another is looked at comes in the same round if it stands behind that one, else in the next. So the order is that of
 * walking all steps again and again until nothing moves, without the walk.
 */
export class ReadySteps {
  readonly #width: number;
  /** Round times width plus place, ascending. */
  readonly #keys: number[] = [];
  #next = 0;
  #current = -1;

  /** @param width number of steps */
  constructor(width: number) {
    this.#width = Math.max(1, width);
  }

  add(places: Iterable<number>): void {
    const base = this.#current - (this.#current < 0 ? -1 : this.#current % this.#width);
    for (const place of places) {
      const key = base + place;
      this.#insert(key > this.#current ? key : key + this.#width);
    }
  }

  /** The place to look at next. */
  take(): number | undefined {
    const key = this.#keys[this.#next];
    if (key === undefined) return undefined;
    this.#next++;
    this.#current = key;
    return key % this.#width;
  }

  #insert(key: number): void {
    const keys = this.#keys;
    let at = keys.length;
    while (at > this.#next && (keys[at - 1] ?? 0) > key) at--;
    if (at > this.#next && keys[at - 1] === key) return;
    if (at === keys.length) keys.push(key);
    else keys.splice(at, 0, key);
  }
}
