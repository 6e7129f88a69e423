/** evolve: the only way a limit's state changes, live, on recovery and in tests. */
import { unreachable } from '../../kernel/index.ts';
import { gathered } from './gather.ts';
import { type Ask, type Held, isBefore, type LimitState, newLimit, sameHolder } from './state.ts';
import type { LimitTransition, StoredLimitEntry } from './transitions.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A state under change: its lists are copied when it is made, not with every transition. */
export class LimitDraft {
  readonly #state: Mutable<LimitState>;
  readonly #held: Held[];
  readonly #waiting: Ask[];
  #grants: number[];

  constructor(state: LimitState) {
    this.#held = [...state.held];
    this.#waiting = [...state.waiting];
    this.#grants = [...state.grants];
    this.#state = { ...state, held: this.#held, waiting: this.#waiting, grants: this.#grants };
  }

  /** The draft itself: whoever keeps it must not apply more. */
  get state(): LimitState {
    return this.#state;
  }

  apply(t: LimitTransition): void {
    switch (t.type) {
      case 'PolicySet':
        this.#state.key = t.key;
        this.#state.policy = t.policy;
        return this.#trimGrants();
      case 'Asked': {
        const { type: _, ...ask } = t;
        return this.#wait(ask);
      }
      case 'Granted':
        return this.#grant(t);
      case 'Refused':
      case 'Left':
        this.#drop(this.#waiting, t.holder);
        return;
      case 'Revoked': {
        const index = this.#held.findIndex(({ holder }) => sameHolder(holder, t.holder));
        const held = this.#held[index];
        if (held !== undefined) this.#held[index] = { ...held, revoked: true };
        return;
      }
      case 'Freed':
        this.#drop(this.#held, t.holder);
        return;
      case 'Collected':
        this.#state.key = t.key;
        this.#state.gathered = gathered(this.#state.gathered, t);
        return;
      case 'Flushed':
        if (this.#state.gathered !== undefined) this.#state.gathered = { ...this.#state.gathered, items: [] };
        return;
      case 'TimerSet':
        this.#state.timerAt = t.at;
        return;
      case 'TimerFired':
        delete this.#state.timerAt;
        return;
      default:
        return unreachable(t);
    }
  }

  /** Applies a whole entry. */
  entry({ transitions, cause, seq }: StoredLimitEntry): void {
    for (const transition of transitions) this.apply(transition);
    this.stored(cause, seq);
  }

  stored(cause: number, seq: number): void {
    this.#state.lastInput = Math.max(this.#state.lastInput, cause);
    this.#state.lastEntry = seq;
  }

  #wait(ask: Ask): void {
    let [low, high] = [0, this.#waiting.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#waiting[middle];
      if (other !== undefined && isBefore(other, ask)) low = middle + 1;
      else high = middle;
    }
    this.#waiting.splice(low, 0, ask);
  }

  #grant(t: Extract<LimitTransition, { type: 'Granted' }>): void {
    const ask = this.#drop(this.#waiting, t.holder);
    this.#state.token = Math.max(this.#state.token, t.token);
    const { slots, rate } = this.#state.policy;
    if (slots !== undefined && ask !== undefined) this.#held.push({ ...ask, token: t.token, grantedAt: t.at });
    if (rate === undefined) return;
    this.#grants.push(t.at);
    this.#trimGrants();
  }

  #trimGrants(): void {
    const limit = this.#state.policy.rate?.limit ?? 0;
    const extra = this.#grants.length - limit;
    if (extra > 0) this.#grants.splice(0, extra);
  }

  #drop<T extends Ask>(from: T[], whose: Ask['holder']): T | undefined {
    const index = from.findIndex(({ holder }) => sameHolder(holder, whose));
    return index === -1 ? undefined : from.splice(index, 1)[0];
  }
}

/** The state of a key whose log is given, oldest entry first: from its last entry with a state on. */
export function foldLimit(limit: string, entries: readonly StoredLimitEntry[]): LimitState {
  const from = entries.findLastIndex(({ state }) => state !== undefined);
  const whole = entries[from];
  const draft = new LimitDraft(whole?.state ?? newLimit(limit));
  if (whole !== undefined) draft.stored(whole.cause, whole.seq);
  for (const entry of entries.slice(from + 1)) draft.entry(entry);
  return draft.state;
}
