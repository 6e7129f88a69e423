/** From what a workflow says of flow control to the limits that its runs ask. Pure. */
import type { LimitPolicy, QueueLimit, RunLimit } from './definition.ts';

export interface ConcurrencyOptions {
  /** Runs at once. */
  readonly limit: number;
  /** CEL over payload: each value has so many slots of its own. */
  readonly key?: string | undefined;
  /** A limit of this name is shared by all workflows that name it. */
  readonly name?: string | undefined;
  readonly onFull?: LimitPolicy['onFull'] | undefined;
}

export interface RateLimitOptions {
  /** Starts within any `perMs`. */
  readonly limit: number;
  readonly perMs: number;
  readonly key?: string | undefined;
  readonly name?: string | undefined;
  /** `queue`: what is too much waits; `drop`: it is cancelled. */
  readonly onFull?: 'queue' | 'drop' | undefined;
}

export interface FlowOptions {
  readonly concurrency?: ConcurrencyOptions | readonly ConcurrencyOptions[] | undefined;
  /** One run at a time, per key if there is one; what comes meanwhile is dropped, or as `onFull` says. */
  readonly singleton?: true | Omit<ConcurrencyOptions, 'limit' | 'name'> | undefined;
  readonly rateLimit?: RateLimitOptions | readonly RateLimitOptions[] | undefined;
}

const list = <T>(value: T | readonly T[] | undefined): readonly T[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value as T];

function idOf(kind: string, own: string, shared: string | undefined, nth: number): string {
  if (shared !== undefined) return `${kind === 'rate' ? 'rate' : 'shared'}:${shared}`;
  return nth === 0 ? `${kind}:${own}` : `${kind}:${own}:${nth + 1}`;
}

/**
 * The limits of a workflow's runs in the order in which they are asked: by name, so that no two runs wait for each other;
 * rates last, so that a run that has waited for them begins at once.
 */
export function runLimits(workflow: string, { concurrency, singleton, rateLimit }: FlowOptions): readonly RunLimit[] {
  const single =
    singleton === undefined ? [] : [{ onFull: 'drop' as const, ...(singleton === true ? {} : singleton), limit: 1 }];
  const all: readonly ConcurrencyOptions[] = [...list(concurrency), ...single];
  const slots = all.map(({ limit, key, name, onFull = 'queue' }, nth): RunLimit => {
    const id = idOf('workflow', workflow, name, nth);
    return { limit: id, ...(key === undefined ? {} : { key }), policy: { slots: limit, onFull } };
  });
  const rates = list(rateLimit).map(({ limit, perMs, key, name, onFull = 'queue' }, nth): RunLimit => {
    const id = idOf('rate', workflow, name, nth);
    return { limit: id, ...(key === undefined ? {} : { key }), policy: { rate: { limit, perMs }, onFull } };
  });
  const byName = (a: RunLimit, b: RunLimit): number => (a.limit < b.limit ? -1 : 1);
  return [...slots.sort(byName), ...rates.sort(byName)];
}

/** The limit that attempts of a queue ask. */
export function queueLimit(queue: string, concurrency: number): QueueLimit {
  return { limit: `queue:${queue}`, policy: { slots: concurrency, onFull: 'queue' } };
}
