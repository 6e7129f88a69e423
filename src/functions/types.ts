/** What people write durable functions with. */

import type { z } from 'zod';
import type { RetentionPolicy } from '../engine/index.ts';
import type { BackoffPolicy, Json } from '../kernel/index.ts';
import type { Logger } from '../telemetry/index.ts';
import type { Step } from '../worker/index.ts';
import type { StepError } from './errors.ts';

/** How often and how a step is tried. Durations in ms. */
export interface StepRetry extends Partial<BackoffPolicy> {
  /** Attempts, the first included; 3 by default. */
  readonly maxAttempts?: number;
  /**
   * Longest time of all attempts together, in ms from when the code asked for the step: no attempt begins that would begin
   * later, and the one that is under way then fails with MR_STEP_TIMEOUT.
   */
  readonly maxElapsedMs?: number;
  /** Errors that another attempt cannot help: codes of failures, or names of error classes (subclasses count). */
  readonly nonRetryable?: readonly string[];
  /**
   * `fail` (by default): the step fails, the code sees a StepError. `pause`: the step waits for a person, who resumes it
   * (`client.resume`) with new attempts; the run stays open, and rests when nothing else of it moves.
   */
  readonly onExhausted?: 'fail' | 'pause';
}

/** How a step of a function is run; times in ms. */
export interface StepOptions {
  readonly retry?: StepRetry;
  /** Longest time of one attempt, in ms; the attempt's signal aborts and the attempt fails. */
  readonly timeoutMs?: number;
  /** Longest silence of an attempt, in ms: it fails with MR_STEP_TIMEOUT when it has not called `heartbeat` for so long. */
  readonly heartbeatTimeoutMs?: number;
}

/** What an attempt of a step may use. */
export interface StepAttempt {
  /** From 1. */
  readonly attempt: number;
  /** Stable over all attempts and all replays of the step: what an effect should be keyed by. */
  readonly idempotencyKey: string;
  /** Aborts when the attempt's time is over, the run is cancelled or another worker has taken the run over. */
  readonly signal: AbortSignal;
  /** What an attempt before this one last gave to `heartbeat`; undefined when none did. */
  readonly progress: Json | undefined;
  /**
   * Says that the attempt lives, and how far it is. Cheap: the details go into the log when the attempt fails, and now and then
   * before (twice per `heartbeatTimeoutMs` at most), so that they survive the process.
   * @param details JSON for the next attempt's `progress`
   * @throws MillraceError MR_OUTPUT_INVALID for details that cannot be stored
   */
  readonly heartbeat: (details?: unknown) => void;
}

/** How a function waits for a signal. */
export interface SignalOptions<P> {
  /** Checks the payload; a payload that does not fit makes the wait throw. */
  readonly schema?: z.ZodType<P>;
  /** The wait throws MR_SIGNAL_TIMEOUT after so many ms. */
  readonly timeoutMs?: number;
}

/** The schemas of a function's signals, by name. */
export type SignalSchemas = Readonly<Record<string, z.ZodType>>;
/** Of a function that declares none. */
export type NoSignals = Record<never, never>;
/** How a child run is started. */
export interface ChildOptions {
  /** The child's run id; one that follows from this run and step by default. A run of that id that exists is not this step's. */
  readonly runId?: string;
  /** What becomes of the child when this run, or the step, ends without it: `cancel` (by default) or `abandon`. */
  readonly onClose?: 'cancel' | 'abandon';
  /** Names the step in the journal; `run:<workflow>` or `start:<workflow>` by default. */
  readonly name?: string;
}

/** How a list is gone through; the options of a step are those of each item's. */
export interface MapOptions extends StepOptions {
  /** Items under way at once; 10 by default. */
  readonly maxParallel?: number;
  /**
   * `fail` (by default): the first item that fails makes `map` throw its error, gives up the items under way and begins no
   * other. `collect`: all items are done, and the result says of each what became of it.
   */
  readonly onFailure?: 'fail' | 'collect';
  /** Of items that are child runs: see {@link ChildOptions}. */
  readonly onClose?: 'cancel' | 'abandon';
}

/** What became of an item. */
export type ItemResult<T> =
  | { readonly ok: true; readonly output: T }
  | { readonly ok: false; readonly error: StepError };

/** An operation that the code may lose interest in. Its promise then never settles, and its step is cancelled in the log. */
export interface Abortable {
  abort(reason: string): void;
}

/**
 * The durable side of a function. What goes through it is in the run's journal: after a crash the function runs again from its
 * beginning, and everything that was recorded comes back as it was. Code between the calls must be deterministic.
 */
export interface Context<S extends SignalSchemas = NoSignals> {
  readonly workflow: string;
  readonly runId: string;
  /**
   * Runs `run` until it succeeds, at least once, and records what it gives. The next step begins only when that is stored.
   * @param name names the step in the journal; a name used again gets a number (`charge`, `charge#2`)
   * @returns what it gave, as JSON
   * @throws StepError when all attempts have failed
   */
  step<T>(name: string, run: (attempt: StepAttempt) => T | PromiseLike<T>, options?: StepOptions): Promise<T>;
  /**
   * Calls a step made by `step`: its schemas check what goes in and what comes out, its code runs here.
   * @throws StepError when all attempts have failed; MR_INPUT_INVALID and MR_OUTPUT_INVALID are not tried again
   */
  step<I extends z.ZodType, O extends z.ZodType>(
    step: Step<I, O>,
    input: z.input<I>,
    options?: StepOptions,
  ): Promise<z.output<O>>;
  /** Waits for so many ms, through restarts and for years. */
  sleep(ms: number, name?: string): Promise<void>;
  /**
   * Waits for a signal of that name and gives its payload, checked by the schema that the function declares for it; one that
   * came earlier counts.
   * @throws StepError MR_SIGNAL_TIMEOUT, MR_INPUT_INVALID
   */
  signal<N extends keyof S & string>(name: N, options?: { readonly timeoutMs?: number }): Promise<z.output<S[N]>>;
  /** The same for a signal that the function does not declare. */
  signal<P = Json>(name: string, options?: SignalOptions<P>): Promise<P>;
  /**
   * Starts a child run, of a durable function or a declared workflow, and waits for its end; the run may rest meanwhile.
   * @returns what the child returned
   * @throws ChildError when the child failed, was cancelled, or could not be started
   */
  run<I, O>(child: WorkflowFunction<I, O>, input: I, options?: ChildOptions): Promise<O>;
  run(child: string, input: Json, options?: ChildOptions): Promise<Json>;
  /**
   * Starts a child run and goes on once its start is stored: nobody waits for it, and it outlives this run.
   * @throws ChildError when it could not be started
   */
  start<I, O>(child: WorkflowFunction<I, O>, input: I, options?: ChildOptions): Promise<{ readonly runId: string }>;
  start(child: string, input: Json, options?: ChildOptions): Promise<{ readonly runId: string }>;
  /**
   * Does something for each item of a list, up to 10,000 of them: a step, or a child run when a function is given. Steps are
   * named `name`, `name#2`, …; each is recorded by itself, so a crash in the middle costs only what was under way.
   * @returns the results in the order of the items
   * @throws StepError, ChildError of the first item that fails, unless failures are collected; MR_USAGE for too many items
   */
  map<I, T>(
    name: string,
    items: readonly I[],
    run: (item: I, attempt: StepAttempt, index: number) => T | PromiseLike<T>,
    options: MapOptions & { readonly onFailure: 'collect' },
  ): Promise<ItemResult<T>[]>;
  map<I, T>(
    name: string,
    items: readonly I[],
    run: (item: I, attempt: StepAttempt, index: number) => T | PromiseLike<T>,
    options?: MapOptions,
  ): Promise<T[]>;
  map<I, T>(
    name: string,
    items: readonly I[],
    child: WorkflowFunction<I, T>,
    options: MapOptions & { readonly onFailure: 'collect' },
  ): Promise<ItemResult<T>[]>;
  map<I, T>(name: string, items: readonly I[], child: WorkflowFunction<I, T>, options?: MapOptions): Promise<T[]>;
  /** The journal's time, ms since the epoch: the same in every replay. */
  now(): number;
  /** In [0, 1), the same in every replay. */
  random(): number;
  /** A version 4 UUID, the same in every replay. */
  uuid(): string;
  /** Silent while recorded history is replayed. */
  readonly log: Logger;
}

/** A function as registered: see {@link workflow}. `A` is what it is started with, `I` what its schema makes of that. */
export interface WorkflowFunction<I = unknown, O = unknown, S extends SignalSchemas = NoSignals, A = I> {
  readonly name: string;
  readonly input: z.ZodType<I, A> | undefined;
  /** Checks what it returns. */
  readonly output?: z.ZodType<O> | undefined;
  readonly signals?: S | undefined;
  readonly retention?: RetentionPolicy | undefined;
  readonly run: (ctx: Context<S>, input: I) => Promise<O>;
}

/** A function of any input, as {@link serveWorkflows} takes it: its schema stands between its input's type and the wire. */
export interface ServedFunction {
  readonly name: string;
  readonly input: z.ZodType | undefined;
  readonly output?: z.ZodType | undefined;
  readonly signals?: SignalSchemas | undefined;
  readonly retention?: RetentionPolicy | undefined;
  readonly run: (ctx: never, input: never) => Promise<unknown>;
}

/** How a run of a durable function ended. */
export type Ending =
  | { readonly status: 'completed'; readonly output: Json }
  | {
      readonly status: 'failed';
      readonly error: { readonly code: string; readonly message: string; readonly hint?: string | undefined };
    }
  | { readonly status: 'cancelled'; readonly reason: string };
