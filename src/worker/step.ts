/** A step as a value: its name, its schemas, its code. Workers run it for declared workflows, durable functions call it. Pure. */
import type { z } from 'zod';
import { isToken, type Json, MillraceError } from '../kernel/index.ts';
import type { Logger } from '../telemetry/index.ts';
import { describeIssues } from './errors.ts';
import type { RegisteredHandler } from './types.ts';

/** What the code of a step sees of its attempt, whoever called for it. */
export interface StepCall {
  readonly workflow: string;
  readonly runId: string;
  /** The step's name in its run. */
  readonly step: string;
  /** From 1. */
  readonly attempt: number;
  /** Stable over all attempts of the step: key outside effects by it. */
  readonly idempotencyKey: string;
  /** Aborts when the attempt is cancelled, out of time, or its process shuts down. */
  readonly signal: AbortSignal;
  /** What an attempt before this one last gave to `heartbeat`; undefined when none did. */
  readonly progress: Json | undefined;
  /** Says that the attempt lives, and how far it has come: JSON that the next attempt finds as `progress`. */
  heartbeat(details?: unknown): void;
  readonly log: Logger;
}

/** What {@link step} takes. */
export interface StepSpec<I extends z.ZodType, O extends z.ZodType> {
  /** Letters, digits, `-`, `_` and dots: the `worker` of a declared step, the operation's name in a durable function. */
  readonly name: string;
  /** Queue of the declared steps it serves; `default` by default. */
  readonly queue?: string;
  /** Checks what it is called with; what does not fit fails the step with MR_INPUT_INVALID. */
  readonly input: I;
  /** Checks what it gives; what does not fit fails the step with MR_OUTPUT_INVALID. */
  readonly output: O;
  /** Attempts of declared steps at once in one process; 10 by default. */
  readonly concurrency?: number;
  /** After how long without a sign of life a declared step's attempt is given to another worker, in ms; 30,000 by default. */
  readonly ackWaitMs?: number;
  /** The step itself: at least once per run, so key effects by `call.idempotencyKey`. */
  readonly run: (input: z.output<I>, call: StepCall) => Promise<z.input<O>> | z.input<O>;
}

/** A step made by {@link step}. */
export interface Step<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType> extends StepSpec<I, O> {
  readonly kind: 'step';
  readonly queue: string;
}

/** A step of any types, as {@link worker} and the test kit take it. */
export type AnyStep = Omit<Step, 'run'> & { readonly run: (input: never, call: StepCall) => unknown };

/**
 * Makes a step of its schemas and its code; the types of both follow from the schemas.
 *
 * ```ts
 * const charge = step({ name: 'charge', input: Order, output: Payment, run: (order, call) => pay(order, call.idempotencyKey) });
 * ```
 * @throws MillraceError MR_USAGE for a name or queue that cannot be one
 */
export function step<I extends z.ZodType, O extends z.ZodType>(spec: StepSpec<I, O>): Step<I, O> {
  const { name, queue = 'default' } = spec;
  if (!name.split('.').every(isToken)) {
    throw new MillraceError('MR_USAGE', `"${name}" cannot name a step`, {
      hint: 'use letters, digits, "-" and "_", with dots between words',
    });
  }
  if (!isToken(queue)) {
    throw new MillraceError('MR_USAGE', `"${queue}" cannot name the queue of step "${name}"`, {
      hint: 'use letters, digits, "-" and "_", at most 64 characters',
    });
  }
  return { ...spec, kind: 'step', queue };
}

/** The step as a worker's runner holds it. */
export function handlerOf({
  name,
  input,
  output,
  run,
  concurrency = 10,
  ackWaitMs = 30_000,
}: AnyStep): RegisteredHandler {
  // The input has passed the step's own schema when it reaches the code.
  return { name, input, output, concurrency, ackWaitMs, run: run as unknown as RegisteredHandler['run'] };
}

/**
 * Calls a step as a worker would: checked input, its code, checked output.
 * @throws MillraceError MR_INPUT_INVALID, MR_OUTPUT_INVALID, both terminal; whatever the code throws
 */
export async function callStep<I extends z.ZodType, O extends z.ZodType>(
  { name, input, output, run }: Step<I, O>,
  value: unknown,
  call: StepCall,
): Promise<z.output<O>> {
  const asked = await input.safeParseAsync(value);
  if (!asked.success) {
    throw new MillraceError('MR_INPUT_INVALID', `input of ${name}: ${describeIssues(asked.error)}`, {
      hint: 'call the step with what its input schema takes',
    });
  }
  const given = await output.safeParseAsync(await run(asked.data, call));
  if (given.success) return given.data;
  throw new MillraceError('MR_OUTPUT_INVALID', `output of ${name}: ${describeIssues(given.error)}`, {
    hint: 'let the step give what its output schema takes',
  });
}
