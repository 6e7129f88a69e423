/** Ids of deployments by name, remembered: while runs keep coming none of them waits for Prefect's answer. */
import type { Clock } from '../../kernel/index.ts';
import type { PrefectApi } from '../prefect/index.ts';

/** Older than this it is asked for again, while the known one is used. */
const FRESH_MS = 30_000;
/** Older than this it is not used any more: the name may stand for another deployment by now. */
const USABLE_MS = 600_000;

export class Deployments {
  readonly #prefect: Pick<PrefectApi, 'deploymentByName'>;
  readonly #clock: Clock;
  readonly #known = new Map<string, { readonly at: number; readonly askedAt: number; readonly id: string }>();

  constructor(prefect: Pick<PrefectApi, 'deploymentByName'>, clock: Clock) {
    this.#prefect = prefect;
    this.#clock = clock;
  }

  /** Undefined when Prefect has none of that name; that answer is never remembered, so a new deployment is seen at once. */
  async idOf(name: string): Promise<string | undefined> {
    const now = this.#clock.now();
    const known = this.#known.get(name);
    if (known === undefined || now - known.at >= USABLE_MS) return this.#ask(name);
    if (now - Math.max(known.at, known.askedAt) >= FRESH_MS) {
      // Nobody waits for it: an id that does not exist any more is refused when it is used, and then forgotten.
      this.#known.set(name, { ...known, askedAt: now });
      this.#ask(name).catch(() => undefined);
    }
    return known.id;
  }

  async #ask(name: string): Promise<string | undefined> {
    const found = await this.#prefect.deploymentByName(name);
    if (found === undefined) this.#known.delete(name);
    else this.#known.set(name, { at: this.#clock.now(), askedAt: 0, id: found.id });
    return found?.id;
  }

  forget(name: string): void {
    this.#known.delete(name);
  }
}
