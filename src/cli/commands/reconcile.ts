/** `millrace reconcile`: do the streams and Prefect tell the same story? Looks only; controllers repair. */
import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { workflowsToSearch } from '../find-run.ts';
import { EXIT } from '../format-error.ts';
import { formatStatus } from '../format-status.ts';
import { jsonOption, workflowOption } from '../options.ts';

async function reconcile(ctx: CliContext, options: { readonly workflow?: string }): Promise<void> {
  const { out } = ctx;
  const prefect = await ctx.prefect();
  const { compareAll } = await import('../../bridge/index.ts'); // it brings a queue client along that nobody else here needs
  const workflows = await workflowsToSearch(ctx, options.workflow);
  const found = await compareAll(await ctx.journal(), prefect, await ctx.definitions(), workflows);
  out.result(found, () => {
    const rows = found.disagreements.map(({ runId, step, attempt, stream, prefect: theirs, flowRunId }) => [
      runId,
      step,
      String(attempt),
      formatStatus(stream, out.c),
      formatStatus(theirs, out.c),
      flowRunId,
    ]);
    if (rows.length > 0) out.table(['RUN', 'STEP', 'TRY', 'STREAM SAYS', 'PREFECT SAYS', 'FLOW RUN'], rows);
    out.line(`streams and Prefect agree on ${found.agree} of ${found.total}`);
    if (rows.length > 0)
      out.note('a running controller repairs this within its next sweeps; look again in a few seconds');
  });
  if (found.disagreements.length > 0) ctx.exit(EXIT.failed);
}

export function register(program: Command, ctx: CliContext): void {
  program
    .command('reconcile')
    .description('compare every Prefect attempt in the streams with Prefect; changes nothing')
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExit code 1 when they disagree.\nExamples:\n  $ millrace reconcile\n  $ millrace reconcile --json | jq .disagreements',
    )
    .action((options: { workflow?: string }) => reconcile(ctx, options));
}
