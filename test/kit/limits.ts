/** A key of a limit in tests: messages in, transitions out, the log kept as the keeper would. */
import type { Holder, LimitMessage, LimitPolicy } from '../../src/engine/index.ts';
import {
  decideLimit,
  foldLimit,
  type LimitEntry,
  type LimitState,
  type LimitTransition,
  newLimit,
  type StoredLimitEntry,
} from '../../src/limits/index.ts';

export const LIMIT = 'workflow:orders';
export const BEGIN = 1_700_000_000_000;

export const run = (runId: string, step?: string): Holder => ({
  workflow: 'orders',
  runId,
  ...(step === undefined ? {} : { step }),
});

export const slots = (count: number, onFull: LimitPolicy['onFull'] = 'queue'): LimitPolicy => ({
  slots: count,
  onFull,
});

export const ask = (
  runId: string,
  policy: LimitPolicy,
  more: { readonly ask?: number; readonly priority?: number; readonly key?: string } = {},
): LimitMessage => ({
  v: 1,
  kind: 'ask',
  key: more.key ?? '',
  holder: run(runId),
  ask: more.ask ?? 0,
  priority: more.priority ?? 3,
  policy,
});

export const free = (runId: string, number = 0): LimitMessage => ({
  v: 1,
  kind: 'free',
  holder: run(runId),
  ask: number,
});

export const timer = (): LimitMessage => ({ v: 1, kind: 'timer' });

/** One key: the n-th message has sequence n. */
export class Key {
  state: LimitState = newLimit(LIMIT);
  readonly log: StoredLimitEntry[] = [];
  now = BEGIN;
  #seq = 0;

  /** @param afterMs since the message before */
  take(body: LimitMessage, afterMs = 1): readonly LimitTransition[] {
    this.now += afterMs;
    const seq = ++this.#seq;
    const { transitions } = decideLimit(this.state, [{ seq, at: this.now, body }], this.now);
    if (transitions.length > 0) {
      const entry: LimitEntry = { v: 1, cause: seq, at: this.now, transitions };
      this.log.push({ ...entry, seq: this.log.length + 1 });
      this.state = foldLimit(LIMIT, this.log);
    }
    return transitions;
  }

  get held(): readonly string[] {
    return this.state.held.map(({ holder }) => holder.runId);
  }

  get waiting(): readonly string[] {
    return this.state.waiting.map(({ holder }) => holder.runId);
  }
}
