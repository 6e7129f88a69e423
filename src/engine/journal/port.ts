/**
 * The journal: where inputs and log entries live. Two adapters, one contract suite (test/contract/journal.ts).
 *
 *   J1 an append succeeds only if the run's last entry is the expected one (the fence; no lock is trusted);
 *   J2 a read sees every write that was acknowledged before it began;
 *   J3 an input is delivered until it is acknowledged or terminated, possibly more than once, possibly out of order;
 *   J4 an input sent twice under one message id inside the duplicate window is stored once.
 */
import type { Result } from '../../kernel/index.ts';
import type { InputBody, LogEntry, StoredEntry } from '../model/index.ts';

export interface RunRef {
  readonly workflow: string;
  readonly runId: string;
}

/** An input as stored: not yet trusted, since anyone may have published it. */
export interface StoredInput {
  readonly run: RunRef;
  readonly seq: number;
  /** Server time of storing, ms since the epoch. */
  readonly at: number;
  readonly data: Uint8Array;
  /** Headers the message carried (first value of each). */
  readonly headers: Readonly<Record<string, string>>;
}

/** One delivery of an input to a controller. */
export interface InputDelivery extends StoredInput {
  /** 1 on first delivery. */
  readonly deliveries: number;
  /** True when no delivery of this workflow to this consumer can have gone elsewhere since the previous one. */
  readonly contiguous: boolean;
  /**
   * Every input of the workflow above this sequence has been delivered to this consumption before or is yet to be;
   * Infinity when nothing is known (journal/chain.ts).
   */
  readonly ownSince: number;
  /** Every input up to `ownSince` is acknowledged: whoever handled it, its transitions are in the log. */
  readonly restAcked: boolean;
  ack(): void;
  nak(delayMs?: number): void;
  term(reason: string): void;
  /** Keeps hold of the input: the server waits for another ack wait before it delivers it again. */
  working(): void;
}

/** A running consumption. */
export interface Consumption {
  /** Stops taking deliveries and waits for the handlers under way. */
  stop(): Promise<void>;
  /** False while the consumer cannot be had (deleted, no server); undefined where that cannot happen. */
  readonly bound?: boolean;
}

export interface SendOptions {
  /** Deduplicates inside the server's duplicate window. */
  readonly msgId: string;
  /**
   * It is the first input of a run whose id was made for it: stored only while the run has none, however late it comes again.
   * The server then need not remember the id.
   */
  readonly first?: true;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Journal {
  /**
   * Log entries of the run, oldest first.
   * @param after only those behind the entry of this sequence; all by default
   * @throws MillraceError MR_JOURNAL_CORRUPT, MR_NATS
   */
  entries(run: RunRef, after?: number): Promise<readonly StoredEntry[]>;
  /**
   * Appends after the entry of sequence `expectedLast` (0: the run has none). Gives the new entry's sequence.
   * @throws MillraceError MR_PAYLOAD_TOO_LARGE; MR_NATS when it is not known whether the entry was stored
   */
  append(run: RunRef, entry: LogEntry, expectedLast: number): Promise<Result<number, 'conflict'>>;
  /** Inputs of the run with `after < seq < before`, oldest first. */
  inputsBetween(run: RunRef, after: number, before: number): Promise<readonly StoredInput[]>;
  /**
   * Stores an input.
   * @throws MillraceError MR_PAYLOAD_TOO_LARGE, MR_NATS
   */
  send(
    run: RunRef,
    body: InputBody,
    options: SendOptions,
  ): Promise<{ readonly seq: number; readonly duplicate: boolean }>;
  /** Hands deliveries of a workflow's inputs to `handle`, at most `maxInFlight` at once; shared by all controllers. */
  consume(
    workflow: string,
    handle: (delivery: InputDelivery) => Promise<void>,
    options?: { readonly maxInFlight?: number },
  ): Promise<Consumption>;
  /**
   * Deletes what a run does not need any more that has continued as new: these inputs, and then all log entries before the
   * given one. Doing it again is harmless.
   * @throws MillraceError MR_NATS
   */
  trim(run: RunRef, before: number, inputs: readonly number[]): Promise<void>;
  /** Ids of all runs of the workflow that have a log. */
  runIds(workflow: string): Promise<readonly string[]>;
}
