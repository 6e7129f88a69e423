/** What lines need of the outside: a store of their logs, and the runs they start. */
import type { Result } from '../kernel/index.ts';
import type { EndStatus, LineEntry, LineInputBody, LineRef, LineStart, StoredLineEntry } from './model/line.ts';

/** An input as stored: not yet trusted, since anyone may have published it. */
export interface StoredLineInput {
  readonly seq: number;
  /** Server time of storing, ms since the epoch. */
  readonly at: number;
  readonly data: Uint8Array;
}

/** One delivery of an input. */
export interface LineDelivery extends StoredLineInput {
  readonly ref: LineRef;
  /** 1 on first delivery. */
  readonly deliveries: number;
  ack(): void;
  nak(delayMs: number): void;
  term(reason: string): void;
}

export interface LineStore {
  /** The last entry of the line's log, as the leader knows it. @throws MillraceError MR_NATS */
  last(ref: LineRef): Promise<StoredLineEntry | undefined>;
  /** The entry that this input caused. @throws MillraceError MR_NATS */
  causedBy(ref: LineRef, seq: number): Promise<StoredLineEntry | undefined>;
  /**
   * Appends after the entry of sequence `expectedLast` (0: the line has none). Gives the new entry's sequence.
   * @throws MillraceError MR_NATS when it is not known whether it was stored
   */
  append(ref: LineRef, entry: LineEntry, expectedLast: number): Promise<Result<number, 'conflict'>>;
  /** Inputs with `after < seq < before`, oldest first; those that were handled may be gone. @throws MillraceError MR_NATS */
  inputsBetween(ref: LineRef, after: number, before: number): Promise<readonly StoredLineInput[]>;
  /** Stores an input; one id is stored once within the duplicate window. @throws MillraceError MR_NATS, MR_PAYLOAD_TOO_LARGE */
  send(
    ref: LineRef,
    body: LineInputBody,
    msgId: string,
  ): Promise<{ readonly seq: number; readonly duplicate: boolean }>;
  /** Sets the line's one timer: at `due` an input `due` comes. @throws MillraceError MR_NATS */
  setTimer(ref: LineRef, due: number): Promise<void>;
  /** Its failure is no harm: a timer that fires after all finds nothing that is due. */
  clearTimer(ref: LineRef): Promise<void>;
  /** Lets go of all but the last entries; a hint. */
  trim(ref: LineRef, keep: number): Promise<void>;
}

/** The last entry of every line, then each that is written. */
export interface LineWatch {
  watch(changed: (entry: StoredLineEntry) => void): Promise<{ stop(): Promise<void> }>;
}

export interface LineRuns {
  /** How it is with a run; `new`: there is neither a log nor an input of it. @throws MillraceError MR_NATS */
  look(workflow: string, runId: string): Promise<'new' | 'open' | EndStatus>;
  /** Starts the run, once however often it is asked. @throws MillraceError MR_NATS */
  start(ref: LineRef, start: LineStart): Promise<void>;
  /** Asks the run to end. @throws MillraceError MR_NATS */
  stop(ref: LineRef, stop: { readonly runId: string; readonly kill: boolean; readonly reason: string }): Promise<void>;
}
