/** Runs as a program holds them. Types only. */
import type { z } from 'zod';
import type { InputBody, RunState } from '../engine/index.ts';
import type { NoSignals, SignalSchemas } from '../functions/index.ts';
import type { Json } from '../kernel/index.ts';

/** How a run is started. */
export interface RunOptions {
  /** Names the run: starting it twice under one id starts it once. A random one by default. */
  readonly runId?: string;
  /** Idempotency key: starting twice under one key starts one run. */
  readonly key?: string;
  /** Who starts it, for the history. */
  readonly by?: string;
}

/** A run of either kind of workflow. What it throws besides: MillraceError MR_NATS. */
export interface Run<O = Json, S extends SignalSchemas = NoSignals> {
  readonly workflow: string;
  readonly runId: string;
  /**
   * What it gave: what a function returned; a declared workflow's `output`, else the outputs by name of the steps that no
   * other needs. Waits for the end.
   * @throws RunError when it failed or was cancelled; MR_OUTPUT_INVALID when the result does not fit its schema
   */
  result(): Promise<O>;
  /**
   * The run as its journal says now, whether it is open or has ended.
   * @throws MillraceError MR_RUN_MISSING when it was never started
   */
  state(): Promise<RunState>;
  /**
   * Sends a signal; one that comes before its wait is kept.
   * @throws MillraceError MR_INPUT_INVALID when the payload does not fit the signal's schema
   */
  signal<N extends keyof S & string>(name: N, payload: z.input<S[N]>): Promise<void>;
  /** Sends a signal that has no schema. */
  signal(name: string, payload?: Json): Promise<void>;
  /**
   * Ends it. A declared workflow in order: what is out may end within the grace time, then what was done is compensated. A durable
   * function at once: its attempts' signals abort.
   */
  cancel(reason: string, options?: { readonly graceMs?: number }): Promise<void>;
  /** Ends it at once: nothing is waited for, nothing is compensated. */
  kill(reason: string): Promise<void>;
  /** Paused steps go on: the one named, else all of them. */
  resume(step?: string): Promise<void>;
  /** Gives a failed or cancelled run new attempts of what failed; all other results are kept. */
  retry(): Promise<void>;
  /** Sends any input. `id` makes sending it twice harmless for two minutes. */
  send(body: InputBody, id?: string): Promise<void>;
}
