/** The state of one key of a limit: the fold of its log, nothing else. */
import type { Holder, LimitPolicy } from '../../engine/index.ts';
import type { Gathered } from './gathered.ts';

/** Each level of priority is worth so much of waiting, in ms: see {@link turnOf}. */
export const AGING_MS = 60_000;
/** A key that was idle for so long is forgotten. */
export const FORGET_AFTER_MS = 600_000;
/** Asks that may wait for one key: the state must fit into one message. */
export const MAX_WAITING = 5_000;

export interface Ask {
  readonly holder: Holder;
  /** Numbers the asks of a holder, ascending. */
  readonly ask: number;
  /** Sequence of the message that asked: the order of asks. */
  readonly seq: number;
  /** When it was asked, ms since the epoch, the server's clock. */
  readonly since: number;
  /** 1 (first) to 5. */
  readonly priority: number;
}

export interface Held extends Ask {
  /** Fencing: grows with every grant of the key. */
  readonly token: number;
  readonly grantedAt: number;
  /** It was told to end, to make room. */
  readonly revoked?: true;
}

export interface LimitState {
  readonly limit: string;
  /** What the expression gave; empty where all share one key. */
  readonly key: string;
  readonly policy: LimitPolicy;
  /** The last token that was given. */
  readonly token: number;
  readonly held: readonly Held[];
  /** Who waits, whose turn is next first. */
  readonly waiting: readonly Ask[];
  /** Times of the last grants, oldest first; as many as the rate counts. */
  readonly grants: readonly number[];
  /** Of a trigger that gathers. */
  readonly gathered?: Gathered;
  /** When its timer is due. */
  readonly timerAt?: number;
  readonly lastInput: number;
  /** Sequence of the last log entry: the next append's expected last subject sequence. */
  readonly lastEntry: number;
}

/** A key of which nobody has asked anything. */
export function newLimit(limit: string): LimitState {
  return {
    limit,
    key: '',
    policy: { onFull: 'queue' },
    token: 0,
    held: [],
    waiting: [],
    grants: [],
    lastInput: 0,
    lastEntry: 0,
  };
}

/**
 * Whose turn comes first: the time it asked, {@link AGING_MS} later for each level of priority. So priority counts among
 * those that ask about the same time, and nobody starves: an ask of priority p is overtaken only by those that come less
 * than (p - 1) · AGING_MS after it.
 */
export function turnOf({ since, priority }: Pick<Ask, 'since' | 'priority'>): number {
  return since + (priority - 1) * AGING_MS;
}

export function isBefore(a: Ask, b: Ask): boolean {
  const turns = turnOf(a) - turnOf(b);
  return turns === 0 ? a.seq < b.seq : turns < 0;
}

export function sameHolder(a: Holder, b: Holder): boolean {
  return a.runId === b.runId && a.workflow === b.workflow && a.step === b.step;
}

export function nameOf({ workflow, runId, step }: Holder): string {
  return step === undefined ? `${workflow}/${runId}` : `${workflow}/${runId}/${step}`;
}

/** Whether another ask would be granted a slot now, the rate left aside. */
export function hasRoom({ policy, held }: LimitState): boolean {
  return policy.slots === undefined || held.length < policy.slots;
}

/** When the rate allows the next grant; 0 when it does now, whatever the time is. */
export function rateAllowsAt({ policy, grants }: LimitState): number {
  if (policy.rate === undefined) return 0;
  const { limit, perMs } = policy.rate;
  const oldest = grants[grants.length - limit];
  return oldest === undefined ? 0 : oldest + perMs;
}

/** Nothing is held, nobody waits, and the rate has forgotten: the key is as if it had never been asked. */
export function isIdle(state: LimitState, now: number): boolean {
  const { held, waiting, grants, policy, gathered } = state;
  if (gathered !== undefined && gathered.items.length > 0) return false;
  const last = grants.at(-1);
  return held.length === 0 && waiting.length === 0 && (last === undefined || last + (policy.rate?.perMs ?? 0) <= now);
}
