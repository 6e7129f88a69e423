/**
 * decide(state, message) → transitions: what one message means to a key of a limit. No clock, chance or I/O.
 *
 *   Q1 never more holders than slots, never more grants within `perMs` than the rate says;
 *   Q2 each grant answers one ask, each ask is answered at most once; asking again and freeing again change nothing;
 *   Q3 no lost wake-up: after each message either nobody waits, or all slots are held, or a timer is set for the rate;
 *   Q4 turns are those of `turnOf`: nobody is overtaken by who asks (p - 1) · AGING_MS after him or later;
 *   Q5 tokens only grow.
 */
import type { Holder, LimitMessage, LimitPolicy } from '../../engine/index.ts';
import { unreachable } from '../../kernel/index.ts';
import { LimitDraft } from './evolve.ts';
import { dueAt, flushed, isFull, overflows } from './gather.ts';
import type { Collect, StartBody } from './gathered.ts';
import { type Ask, type Held, hasRoom, type LimitState, MAX_WAITING, rateAllowsAt, sameHolder } from './state.ts';
import type { LimitTransition } from './transitions.ts';

/** A message as it is decided on. */
export interface LimitInput {
  readonly seq: number;
  /** Server time of storing, ms since the epoch. */
  readonly at: number;
  readonly body: LimitMessage;
}

type Of<K extends LimitMessage['kind']> = Extract<LimitMessage, { kind: K }>;

export interface LimitDecision {
  readonly transitions: readonly LimitTransition[];
  readonly after: LimitState;
}

/**
 * What the messages mean, one after another.
 * @param now ms since the epoch: what waited long to be handled must not be granted as if it had been handled at once
 */
export function decideLimit(state: LimitState, inputs: readonly LimitInput[], now: number): LimitDecision {
  const draft = new Draft(state, now);
  for (const input of inputs) draft.take(input);
  return { transitions: draft.transitions, after: draft.state };
}

class Draft {
  readonly transitions: LimitTransition[] = [];
  readonly #draft: LimitDraft;
  readonly #now: number;

  constructor(state: LimitState, now: number) {
    this.#draft = new LimitDraft(state);
    this.#now = now;
  }

  get state(): LimitState {
    return this.#draft.state;
  }

  take(input: LimitInput): void {
    const { body } = input;
    switch (body.kind) {
      case 'ask':
        this.#ask(input, body);
        break;
      case 'free':
        this.#free(body);
        break;
      case 'collect':
        return this.#collect(input, body);
      case 'timer':
        if (this.state.timerAt === undefined) return;
        this.#emit({ type: 'TimerFired' });
        break;
      default:
        return unreachable(body);
    }
    this.#flush(input);
    this.#settle(input);
    if (body.kind === 'ask') this.#turnAway(body);
  }

  #emit(transition: LimitTransition): void {
    this.transitions.push(transition);
    this.#draft.apply(transition);
  }

  #ask({ seq, at }: LimitInput, { holder, ask, key, priority, policy }: Of<'ask'>): void {
    const known = this.#find(holder);
    if (known !== undefined && known.ask >= ask) return;
    this.#setPolicy(key, policyOf(policy));
    if (known !== undefined) this.#remove(known); // its free is on its way, or lost
    this.#emit({ type: 'Asked', holder, ask, seq, since: at, priority });
    if (this.state.policy.onFull === 'cancelOldest') this.#makeRoom();
    if (this.state.waiting.length > MAX_WAITING) {
      const reason = `${MAX_WAITING} others wait for ${this.#name()} already`;
      this.#emit({ type: 'Refused', holder, ask, reason });
    }
  }

  /** Q6, Q7. */
  #collect(input: LimitInput, body: Collect): void {
    const { id, runId, start, workflow, key, debounce, batch } = body;
    const { gathered } = this.state;
    if (gathered?.seen.includes(id) === true) return;
    if (overflows(gathered, body)) this.#start();
    const item = { id, runId, start: start as unknown as StartBody };
    const at = Math.max(input.at, this.#now);
    const policy = { ...(debounce === undefined ? {} : { debounce }), ...(batch === undefined ? {} : { batch }) };
    this.#emit({ type: 'Collected', workflow, key, item, at, ...policy } as LimitTransition);
    this.#flush(input);
  }

  /** Starts what is due or full; what is not has a timer. One that fires too early is set again, not moved with each message. */
  #flush(input: LimitInput): void {
    const { gathered, timerAt } = this.state;
    const due = dueAt(gathered);
    if (gathered === undefined || due === undefined) return;
    if (isFull(gathered) || due <= Math.max(input.at, this.#now)) return this.#start();
    if (timerAt === undefined || timerAt > due) this.#emit({ type: 'TimerSet', at: due });
  }

  #start(): void {
    const { gathered } = this.state;
    const start = gathered === undefined ? undefined : flushed(gathered);
    if (start !== undefined) this.#emit(start);
  }

  #setPolicy(key: string, policy: LimitPolicy): void {
    const { state } = this;
    if (state.lastEntry !== 0 || this.transitions.length > 0) {
      if (samePolicy(policy, state.policy)) return;
    }
    this.#emit({ type: 'PolicySet', key, policy });
  }

  /** Tells as many of the oldest to end as there are too many, of those that were not told yet. */
  #makeRoom(): void {
    const { slots } = this.state.policy;
    if (slots === undefined) return;
    const open = [...this.state.held.filter(({ revoked }) => revoked !== true), ...this.state.waiting];
    const oldest = open.sort((a, b) => a.seq - b.seq).slice(0, Math.max(0, open.length - slots));
    const reason = `a newer run takes its slot of ${this.#name()}`;
    for (const one of oldest) {
      const { holder, ask } = one;
      this.#emit({ type: isHeld(one) ? 'Revoked' : 'Refused', holder, ask, reason });
    }
  }

  #free({ holder, ask, why, by }: Of<'free'>): void {
    const known = this.#find(holder);
    if (known !== undefined && known.ask <= ask) this.#remove(known, why, by);
  }

  #remove(known: Ask, why?: 'gone' | 'released', by?: string): void {
    const more = { ...(why === undefined ? {} : { why }), ...(by === undefined ? {} : { by }) };
    this.#emit({ type: isHeld(known) ? 'Freed' : 'Left', holder: known.holder, ...more });
  }

  /** Grants what can be granted; Q3. */
  #settle(input: LimitInput): void {
    const { seq } = input;
    const at = Math.max(input.at, this.#now);
    for (;;) {
      const { state } = this;
      const [next] = state.waiting;
      if (next === undefined || !hasRoom(state)) return;
      const allowedAt = rateAllowsAt(state);
      if (allowedAt > at) {
        if (state.timerAt === undefined || state.timerAt > allowedAt) this.#emit({ type: 'TimerSet', at: allowedAt });
        return;
      }
      const { holder, ask } = next;
      // A key that was idle is forgotten; the stream's sequence is above every token that it gave (see the sweep).
      const token = Math.max(state.token + 1, seq);
      this.#emit({ type: 'Granted', holder, ask, token, at });
    }
  }

  /** Who cannot have it at once is refused, where nobody waits. */
  #turnAway({ holder, ask }: Of<'ask'>): void {
    const { onFull } = this.state.policy;
    if (onFull !== 'cancelNewest' && onFull !== 'drop') return;
    const waits = this.state.waiting.some((one) => one.ask === ask && sameHolder(one.holder, holder));
    if (!waits) return;
    const reason = onFull === 'drop' ? `dropped: ${this.#name()} is full` : `${this.#name()} is full`;
    this.#emit({ type: 'Refused', holder, ask, reason });
  }

  #find(holder: Holder): Held | Ask | undefined {
    const is = (one: Ask): boolean => sameHolder(one.holder, holder);
    return this.state.held.find(is) ?? this.state.waiting.find(is);
  }

  #name(): string {
    const { limit, key } = this.state;
    return key === '' ? limit : `${limit} (${key})`;
  }
}

function isHeld(ask: Ask): ask is Held {
  return 'token' in ask;
}

function samePolicy(a: LimitPolicy, b: LimitPolicy): boolean {
  const sameRate = a.rate?.limit === b.rate?.limit && a.rate?.perMs === b.rate?.perMs;
  return a.slots === b.slots && a.onFull === b.onFull && sameRate;
}

function policyOf({ slots, rate, onFull }: Of<'ask'>['policy']): LimitPolicy {
  return { ...(slots === undefined ? {} : { slots }), ...(rate === undefined ? {} : { rate }), onFull };
}
