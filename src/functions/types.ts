/** What people write durable functions with. */
import type { z } from 'zod';
import type { BackoffPolicy, Json } from '../kernel/index.ts';
import type { Logger } from '../telemetry/index.ts';

/** How often and how a step is tried. Durations in ms. */
export interface StepRetry extends Partial<BackoffPolicy> {
  /** Attempts, the first included; 3 by default. */
  readonly maxAttempts?: number;
}

export interface StepOptions {
  readonly retry?: StepRetry;
  /** Longest time of one attempt, in ms; the attempt's signal aborts and the attempt fails. */
  readonly timeoutMs?: number;
}

/** What an attempt of a step may use. */
export interface StepAttempt {
  /** From 1. */
  readonly attempt: number;
  /** Stable over all attempts and all replays of the step: what an effect should be keyed by. */
  readonly idempotencyKey: string;
  /** Aborts when the attempt's time is over, the run is cancelled or another worker has taken the run over. */
  readonly signal: AbortSignal;
}

export interface SignalOptions<P> {
  /** Checks the payload; a payload that does not fit makes the wait throw. */
  readonly schema?: z.ZodType<P>;
  /** The wait throws MR_SIGNAL_TIMEOUT after so many ms. */
  readonly timeoutMs?: number;
}

/**
 * The durable side of a function. What goes through it is in the run's journal: after a crash the function runs again from its
 * beginning, and everything that was recorded comes back as it was. Code between the calls must be deterministic.
 */
export interface Context {
  readonly workflow: string;
  readonly runId: string;
  /**
   * Runs `run` until it succeeds, at least once, and records what it gives. The next step begins only when that is stored.
   * @param name names the step in the journal; a name used again gets a number (`charge`, `charge#2`)
   * @returns what it gave, as JSON
   * @throws StepError when all attempts have failed
   */
  step<T>(name: string, run: (attempt: StepAttempt) => T | PromiseLike<T>, options?: StepOptions): Promise<T>;
  /** Waits for so many ms, through restarts and for years. */
  sleep(ms: number, name?: string): Promise<void>;
  /**
   * Waits for a signal of that name and gives its payload; one that came earlier counts.
   * @throws StepError MR_SIGNAL_TIMEOUT, MR_INPUT_INVALID
   */
  signal<P = Json>(name: string, options?: SignalOptions<P>): Promise<P>;
  /** The journal's time, ms since the epoch: the same in every replay. */
  now(): number;
  /** In [0, 1), the same in every replay. */
  random(): number;
  /** A version 4 UUID, the same in every replay. */
  uuid(): string;
  /** Silent while recorded history is replayed. */
  readonly log: Logger;
}

/** A function as registered: see {@link workflow}. */
export interface WorkflowFunction<I = unknown, O = unknown> {
  readonly name: string;
  readonly input: z.ZodType<I> | undefined;
  readonly run: (ctx: Context, input: I) => Promise<O>;
}

/** A function of any input, as {@link serveWorkflows} takes it: its schema stands between its input's type and the wire. */
export interface ServedFunction {
  readonly name: string;
  readonly input: z.ZodType | undefined;
  readonly run: (ctx: Context, input: never) => Promise<unknown>;
}

/** How a run of a durable function ended. */
export type Ending =
  | { readonly status: 'completed'; readonly output: Json }
  | {
      readonly status: 'failed';
      readonly error: { readonly code: string; readonly message: string; readonly hint?: string | undefined };
    }
  | { readonly status: 'cancelled'; readonly reason: string };
