/** Declaring a durable function. */
import type { z } from 'zod';
import { type RetentionPolicy, SHORTEST_RETENTION_MS } from '../engine/index.ts';
import { isToken, type Json, MillraceError } from '../kernel/index.ts';
import type { Context, NoSignals, ServedFunction, SignalSchemas, WorkflowFunction } from './types.ts';

/** What a durable function says of itself besides its code. */
export interface WorkflowOptions<I, O, S extends SignalSchemas, A> {
  /** Checks what a run is started with, before its first step. */
  readonly input?: z.ZodType<I, A>;
  /** Checks what the function returns: a result that does not fit fails the run with MR_OUTPUT_INVALID. */
  readonly output?: z.ZodType<O>;
  /** Payloads of its signals by name: `ctx.signal(name)` gives one checked, clients send only what fits. */
  readonly signals?: S;
  /** How long ended runs are kept, in ms by how they ended, two minutes at least; for ever without. A manifest of kind Function with triggers comes first. */
  readonly retention?: RetentionPolicy;
}

/**
 * Declares a durable function.
 *
 * ```ts
 * const order = workflow('order', { input: Order }, async (ctx, order) => {
 *   const payment = await ctx.step('charge', () => charge(order));
 *   await ctx.sleep(60_000);
 *   return ctx.step('ship', () => ship(order, payment));
 * });
 * ```
 * @param name letters, digits, `-` and `_`; names the stream `WF_<name>`
 * @param options the function's schemas, which give its types
 * @throws MillraceError MR_USAGE for a name that cannot be one, for a retention that is too short
 */
export function workflow<I, O, S extends SignalSchemas = NoSignals, A = I>(
  name: string,
  options: WorkflowOptions<I, O, S, A>,
  run: (ctx: Context<S>, input: I) => Promise<O>,
): WorkflowFunction<I, O, S, A> {
  if (!isToken(name)) {
    throw new MillraceError('MR_USAGE', `"${name}" cannot name a workflow`, {
      hint: 'use letters, digits, "-" and "_", at most 64 characters',
    });
  }
  const { input, output, signals, retention } = options;
  if (retention !== undefined) checkRetention(name, retention);
  return {
    ...{ name, input },
    ...(output && { output }),
    ...(signals && { signals }),
    ...(retention && { retention }),
    run,
  };
}

function checkRetention(name: string, retention: RetentionPolicy): void {
  const { completedMs, failedMs, cancelledMs } = retention;
  const ages = [completedMs, failedMs, cancelledMs].filter((age) => age !== undefined);
  if (ages.length > 0 && ages.every((age) => age >= SHORTEST_RETENTION_MS)) return;
  throw new MillraceError('MR_USAGE', `the retention of "${name}" has no age, or one below two minutes`, {
    hint: 'give completedMs, failedMs or cancelledMs, 120000 at least: a start that comes twice must find its run',
  });
}

/**
 * The payload as the function sees it.
 * @throws MillraceError MR_INPUT_INVALID
 */
export function checkedInput({ name, input }: WorkflowFunction, payload: Json): unknown {
  if (input === undefined) return payload;
  const parsed = input.safeParse(payload);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  throw new MillraceError('MR_INPUT_INVALID', `the input of ${name}${where}: ${issue?.message ?? 'does not fit'}`, {
    hint: 'start the run with an input that fits the schema of the function',
  });
}

/**
 * What the function returned, as its schema has it.
 * @throws MillraceError MR_OUTPUT_INVALID
 */
export function checkedOutput({ name, output }: Pick<ServedFunction, 'name' | 'output'>, value: unknown): unknown {
  if (output === undefined) return value;
  const parsed = output.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  throw new MillraceError('MR_OUTPUT_INVALID', `what ${name} returned${where}: ${issue?.message ?? 'does not fit'}`, {
    hint: 'let the function return what its output schema takes',
  });
}
