/**
 * Where limits live: what is asked of them, and their logs. Two adapters: JetStream, and memory for the simulation.
 *   J1 an append succeeds only if the key's last entry is the expected one (the fence; no lock is trusted);
 *   J2 a read sees every write that was acknowledged before it began;
 *   J3 what is asked is delivered until it is acknowledged, possibly more than once, possibly out of order; once
 *      acknowledged it is gone.
 */
import type { Consumption, LimitMessage } from '../engine/index.ts';
import type { Result } from '../kernel/index.ts';
import type { LimitEntry, StoredLimitEntry } from './model/index.ts';

/** One key of a limit. */
export interface LimitRef {
  readonly limit: string;
  /** Stands for the key in subjects. */
  readonly token: string;
}

/** What was asked, as stored: not yet trusted, since anyone may have published it. */
export interface StoredAsk {
  readonly ref: LimitRef;
  readonly seq: number;
  /** Server time of storing, ms since the epoch. */
  readonly at: number;
  readonly data: Uint8Array;
}

export interface AskDelivery extends StoredAsk {
  /** 1 on first delivery. */
  readonly deliveries: number;
  /** Everything above this sequence has come here or is yet to come; Infinity when nothing is known. */
  readonly ownSince: number;
  /** Everything up to `ownSince` is acknowledged: its transitions are in the logs. */
  readonly restAcked: boolean;
  ack(): void;
  nak(delayMs?: number): void;
  term(reason: string): void;
}

export interface LimitJournal {
  /**
   * The key's log, oldest entry first, from its last entry with a whole state on.
   * @throws MillraceError MR_JOURNAL_CORRUPT, MR_NATS
   */
  entries(ref: LimitRef): Promise<readonly StoredLimitEntry[]>;
  /**
   * Appends after the entry of sequence `expectedLast` (0: there is none). An entry with a state takes the place of all before it.
   * @throws MillraceError MR_PAYLOAD_TOO_LARGE; MR_NATS when it is not known whether it was stored
   */
  append(ref: LimitRef, entry: LimitEntry, expectedLast: number): Promise<Result<number, 'conflict'>>;
  /** What was asked of the key, is not acknowledged and lies below `before`, oldest first. */
  openAsks(ref: LimitRef, before: number): Promise<readonly StoredAsk[]>;
  /** @throws MillraceError MR_NATS */
  ask(ref: LimitRef, body: LimitMessage, msgId: string): Promise<void>;
  /** Sets the key's one timer, in place of the one it had. */
  setTimer(ref: LimitRef, at: number): Promise<void>;
  /** All keys that have a log. */
  refs(): Promise<readonly LimitRef[]>;
  /**
   * Removes the log of a key as far as it was read, if what was asked of it up to there is acknowledged and every later ask
   * will have a sequence above `token`.
   */
  forget(
    ref: LimitRef,
    read: { readonly lastEntry: number; readonly lastInput: number; readonly token: number },
  ): Promise<void>;
  consume(handle: (delivery: AskDelivery) => Promise<void>): Consumption;
}
