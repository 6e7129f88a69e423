/** The runs of whole workflows, as listings and purges look at them. */
import { type RunSummary, summarize } from '../replay/index.ts';
import type { CliContext } from './context.ts';

/** Summaries of all runs of the workflows, in no order. */
export async function readSummaries(ctx: CliContext, workflows: readonly string[]): Promise<readonly RunSummary[]> {
  const reader = await ctx.reader();
  const found: RunSummary[] = [];
  for (const workflow of workflows) {
    const byRun = new Map<string, RunSummary>();
    for await (const { run, entry } of reader.entries(workflow, ctx.signal)) {
      byRun.set(run.runId, summarize(byRun.get(run.runId), run, entry));
    }
    found.push(...byRun.values());
  }
  return found;
}
