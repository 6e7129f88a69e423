/** Ids of deployments by name, remembered for a short while: a burst of runs asks once. */
import type { Clock } from '../../kernel/index.ts';
import type { PrefectApi } from '../prefect/index.ts';

const FRESH_MS = 30_000;

export class Deployments {
  readonly #prefect: Pick<PrefectApi, 'deploymentByName'>;
  readonly #clock: Clock;
  readonly #known = new Map<string, { readonly at: number; readonly id: string }>();

  constructor(prefect: Pick<PrefectApi, 'deploymentByName'>, clock: Clock) {
    this.#prefect = prefect;
    this.#clock = clock;
  }

  /** Undefined when Prefect has none of that name; that answer is never remembered, so a new deployment is seen at once. */
  async idOf(name: string): Promise<string | undefined> {
    const now = this.#clock.now();
    const known = this.#known.get(name);
    if (known !== undefined && now - known.at < FRESH_MS) return known.id;
    const found = await this.#prefect.deploymentByName(name);
    if (found === undefined) {
      this.#known.delete(name);
      return undefined;
    }
    this.#known.set(name, { at: now, id: found.id });
    return found.id;
  }

  forget(name: string): void {
    this.#known.delete(name);
  }
}
