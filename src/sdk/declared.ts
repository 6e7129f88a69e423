/** A declared workflow as code names it: its name, and the schemas of what goes in and comes out. Pure. */
import type { z } from 'zod';
import type { NoSignals, SignalSchemas } from '../functions/index.ts';
import { isToken, type Json, MillraceError } from '../kernel/index.ts';

/** A declared workflow: see {@link declared}. `A` is what it is started with. */
export interface DeclaredWorkflow<A = Json, O = Json, S extends SignalSchemas = NoSignals> {
  readonly kind: 'declared';
  readonly name: string;
  readonly input?: z.ZodType<unknown, A> | undefined;
  readonly output?: z.ZodType<O> | undefined;
  readonly signals?: S | undefined;
}

/**
 * Names a declared workflow, whose steps are in a manifest, so that clients know its types.
 *
 * ```ts
 * const report = declared('delay-report', { input: Day, output: Report, signals: { publish: z.boolean() } });
 * ```
 * The input is checked before it is sent, the result when it is read.
 * @throws MillraceError MR_USAGE for a name that cannot be one
 */
export function declared<A = Json, O = Json, S extends SignalSchemas = NoSignals>(
  name: string,
  options: {
    readonly input?: z.ZodType<unknown, A>;
    readonly output?: z.ZodType<O>;
    readonly signals?: S;
  } = {},
): DeclaredWorkflow<A, O, S> {
  if (isToken(name)) return { kind: 'declared', name, ...options };
  throw new MillraceError('MR_USAGE', `"${name}" cannot name a workflow`, {
    hint: 'use letters, digits, "-" and "_", at most 64 characters',
  });
}
