/**
 * The end of one run's log, as the process that executes the run writes it.
 *
 * Job: gather transitions, append them one entry at a time under the fence, let effects wait until what they depend on is
 * stored. Boundary: knows neither the function nor deliveries; what a conflict means is its owner's business.
 *
 *   F1 an effect begins only when every transition pushed before it is stored;
 *   F2 one append of a run is under way at a time; transitions of one cause that wait meanwhile go into one entry;
 *   F3 after a conflict the same entry is tried again behind what was found, or nothing is written any more.
 */
import type { LogEntry, StoredEntry, Transition } from '../engine/index.ts';
import { isMillraceError, type Result } from '../kernel/index.ts';
import type { SpanRecord } from '../telemetry/index.ts';

/** An input in the hands of an execution. */
export interface HeldInput {
  readonly seq: number;
  /** How often it was delivered, from 1. */
  readonly deliveries: number;
  ack(): void;
  nak(delayMs?: number): void;
  /** Lets go of it without a word: it is somebody else's, or comes again by itself. */
  drop(): void;
}

/** Transitions of one cause that are stored together, and what waits for that. */
export interface Batch {
  readonly cause: number;
  /** The journal's time of the entry, ms since the epoch. */
  readonly at: number;
  transitions: Transition[];
  /** How many of the transitions effects must wait for. */
  hard: number;
  readonly effects: Effect[];
  readonly inputs: HeldInput[];
  readonly spans: SpanRecord[];
}

/** Something that must not happen before what it depends on is stored. */
export interface Effect {
  begin(): void;
}

/** Whose log it is. */
export interface TailOwner {
  /** Appends to the run's log; as `Journal.append`. */
  append(entry: LogEntry, expectedLast: number): Promise<Result<number, 'conflict'>>;
  readonly ports: { readonly now: () => number };
  stored(batch: Batch): void;
  conflict(): void;
  failed(error: unknown): void;
}

export class Tail {
  readonly #owner: TailOwner;
  #batches: Batch[] = [];
  #inFlight: Batch | undefined;
  #hard = 0;
  #closed = false;
  /** Sequence of the input that what comes next follows from. */
  cause: number;
  lastEntry: number;
  /** The journal's time: that of the latest batch. */
  at: number;

  constructor(owner: TailOwner, cause: number, lastEntry: number, at: number) {
    this.#owner = owner;
    this.cause = cause;
    this.lastEntry = lastEntry;
    this.at = at;
  }

  /** True when nothing waits to be stored. */
  get isIdle(): boolean {
    return this.#batches.length === 0 && this.#inFlight === undefined;
  }

  get isAppending(): boolean {
    return this.#inFlight !== undefined;
  }

  /**
   * Adds a transition.
   * @param soft effects need not wait for it: it follows from the input alone
   */
  push(transition: Transition, soft = false): Batch {
    const batch = this.#current();
    batch.transitions.push(transition);
    if (!soft) {
      batch.hard++;
      this.#hard++;
    }
    return batch;
  }

  /** The batch that transitions go to now. */
  #current(): Batch {
    const last = this.#batches.at(-1);
    if (last !== undefined && last.cause === this.cause) return last;
    this.at = Math.max(this.at, this.#owner.ports.now());
    const batch: Batch = {
      cause: this.cause,
      at: this.at,
      transitions: [],
      hard: 0,
      effects: [],
      inputs: [],
      spans: [],
    };
    this.#batches.push(batch);
    return batch;
  }

  /** True when an input waits here for its transitions to be stored. */
  holds(seq: number): boolean {
    return this.#waiting().some(({ inputs }) => inputs.some((input) => input.seq === seq));
  }

  /** True when what another process recorded for the run cannot be put before what waits here. */
  clashes({ cause, transitions }: StoredEntry): boolean {
    const signals = transitions.flatMap((t) => (t.type === 'SignalReceived' ? [t.name] : []));
    return this.#waiting().some(
      (batch) =>
        batch.inputs.some(({ seq }) => seq === cause) ||
        batch.transitions.some((t) => t.type === 'SignalReceived' && signals.includes(t.name)),
    );
  }

  /** F1. */
  afterStored(effect: Effect): void {
    if (this.#hard === 0) return effect.begin();
    const batch = this.#batches.at(-1) ?? this.#inFlight;
    if (batch === undefined) return effect.begin();
    batch.effects.push(effect);
  }

  /** F2: appends what waits, unless an append is under way. */
  flush(): void {
    const batch = this.#batches[0];
    if (batch === undefined || this.#inFlight !== undefined || this.#closed) return;
    this.#batches.shift();
    this.#inFlight = batch;
    this.#append(batch);
  }

  #append(batch: Batch): void {
    const entry: LogEntry = { v: 1, cause: batch.cause, at: batch.at, transitions: batch.transitions };
    this.#owner.append(entry, this.lastEntry).then(
      (result) => {
        if (this.#closed) return;
        if (!result.ok) return this.#owner.conflict();
        this.lastEntry = result.value;
        this.#inFlight = undefined;
        this.#hard -= batch.hard;
        this.#owner.stored(batch);
      },
      (error: unknown) => {
        if (this.#closed) return;
        this.#owner.failed(error);
      },
    );
  }

  /** F3: tries the refused entry again, behind the given one. */
  again(lastEntry: number): void {
    this.lastEntry = lastEntry;
    const batch = this.#inFlight;
    if (batch === undefined) return;
    if (batch.transitions.length > 0) return this.#append(batch);
    this.#inFlight = undefined; // all of it was withdrawn
    this.#owner.stored(batch);
  }

  /** Takes back a transition that no append has stored; false when it is not among those that wait. */
  withdraw(type: Transition['type']): boolean {
    for (const batch of this.#waiting()) {
      const index = batch.transitions.findLastIndex((t) => t.type === type);
      if (index < 0) continue;
      batch.transitions.splice(index, 1);
      batch.hard--;
      this.#hard--;
      return true;
    }
    return false;
  }

  /** Replaces everything that waits, which can never be stored, and begins to append what replaces it. */
  replace(by: (dropped: readonly Transition[]) => readonly Transition[]): Batch {
    const dropped = this.#waiting();
    this.#batches = [];
    this.#inFlight = undefined;
    this.#hard = 0;
    const batch = this.#current();
    for (const transition of by(dropped.flatMap(({ transitions }) => transitions))) this.push(transition);
    for (const { inputs } of dropped) batch.inputs.push(...inputs);
    this.flush();
    return batch;
  }

  /** F3: writes nothing any more; gives what was not stored. */
  close(): readonly Batch[] {
    const dropped = this.#waiting();
    this.#closed = true;
    this.#batches = [];
    this.#inFlight = undefined;
    return dropped;
  }

  #waiting(): readonly Batch[] {
    return this.#inFlight === undefined ? this.#batches : [this.#inFlight, ...this.#batches];
  }
}

export const isTooLarge = (error: unknown): boolean => isMillraceError(error, 'MR_PAYLOAD_TOO_LARGE');
