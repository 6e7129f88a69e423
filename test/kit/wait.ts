/** Waiting for what has to happen, never for time to pass. */

/** Resolves with the first defined, not false answer of `look`; rejects with what it was waiting for at the deadline. */
export async function waitFor<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = 15_000,
): Promise<T> {
  const until = Date.now() + deadlineMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > until) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A promise together with the means to settle it. */
export function deferred<T = void>() {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Collects values and lets a test wait until enough have come. */
export class Collector<T> {
  readonly items: T[] = [];
  #waiters: { enough: (items: readonly T[]) => boolean; done: () => void }[] = [];

  readonly add = (item: T): void => {
    this.items.push(item);
    this.#waiters = this.#waiters.filter(({ enough, done }) => {
      if (!enough(this.items)) return true;
      done();
      return false;
    });
  };

  async until(what: string, enough: (items: readonly T[]) => boolean, deadlineMs = 15_000): Promise<readonly T[]> {
    if (enough(this.items)) return this.items;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () =>
          reject(new Error(`waited ${deadlineMs} ms for ${what}; have ${JSON.stringify(this.items).slice(0, 500)}`)),
        deadlineMs,
      );
    });
    const met = new Promise<void>((resolve) => this.#waiters.push({ enough, done: resolve }));
    await Promise.race([met, late]).finally(() => clearTimeout(timer));
    return this.items;
  }
}
