/** Declaring a durable function. */
import type { z } from 'zod';
import { isToken, type Json, MillraceError } from '../kernel/index.ts';
import type { Context, WorkflowFunction } from './types.ts';

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
 * @param options `input` checks what a run is started with, before its first step
 * @throws MillraceError MR_USAGE for a name that cannot be one
 */
export function workflow<I, O>(
  name: string,
  options: { readonly input?: z.ZodType<I> },
  run: (ctx: Context, input: I) => Promise<O>,
): WorkflowFunction<I, O> {
  if (!isToken(name)) {
    throw new MillraceError('MR_USAGE', `"${name}" cannot name a workflow`, {
      hint: 'use letters, digits, "-" and "_", at most 64 characters',
    });
  }
  return { name, input: options.input, run };
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
