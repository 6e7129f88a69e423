/** From what a person types to a run: whole ids are looked up directly, beginnings are searched for. */
import type { RunRef } from '../engine/index.ts';
import { isToken, MillraceError } from '../kernel/index.ts';
import { resolveRun } from '../replay/index.ts';
import type { CliContext } from './context.ts';

/** Length of the ids that Millrace makes; only these are worth a direct look. */
const WHOLE = 16;

/**
 * The workflows to look in: the named one, or all that have a stream.
 * @throws MillraceError MR_WORKFLOW_MISSING when the named one has none
 */
export async function workflowsToSearch(ctx: CliContext, workflow?: string): Promise<readonly string[]> {
  const all = await (await ctx.reader()).workflows();
  if (workflow === undefined) return all;
  if (all.includes(workflow)) return [workflow];
  throw new MillraceError('MR_WORKFLOW_MISSING', `there is no workflow "${workflow}"`, {
    hint: all.length === 0 ? 'apply one with `millrace apply streams/`' : `there are ${all.join(', ')}`,
  });
}

/**
 * The run a person means; its id may be abbreviated while it is unique.
 * @throws MillraceError MR_RUN_MISSING, MR_USAGE when several fit, MR_WORKFLOW_MISSING
 */
export async function findRun(ctx: CliContext, text: string, workflow?: string): Promise<RunRef> {
  const reader = await ctx.reader();
  const workflows = await workflowsToSearch(ctx, workflow);
  if (text.length >= WHOLE && isToken(text)) {
    for (const name of workflows) {
      const run = { workflow: name, runId: text };
      if (await reader.has(run)) return run;
    }
  }
  const runs = await Promise.all(workflows.map((name) => reader.runs(name)));
  return resolveRun(text, runs.flat());
}
