/** `millrace runs history <id>`: every transition of a run, when, and what caused it. */
import type { Command } from 'commander';
import type { InputBody } from '../../engine/index.ts';
import { historyOf, readInputBody } from '../../replay/index.ts';
import type { CliContext } from '../context.ts';
import { findRun } from '../find-run.ts';
import { formatClock, formatTime } from '../format-time.ts';
import { jsonOption, workflowOption } from '../options.ts';

async function history(ctx: CliContext, text: string, options: { readonly workflow?: string }): Promise<void> {
  const run = await findRun(ctx, text, options.workflow);
  const journal = await ctx.journal();
  const [entries, inputs] = await Promise.all([
    journal.entries(run),
    journal.inputsBetween(run, 0, Number.MAX_SAFE_INTEGER),
  ]);
  const kinds = new Map<number, InputBody['kind']>();
  for (const input of inputs) {
    const kind = readInputBody(input)?.kind;
    if (kind !== undefined) kinds.set(input.seq, kind);
  }
  const lines = historyOf(entries, kinds);
  ctx.out.result({ ...run, history: lines }, () => {
    const [first] = lines;
    if (first !== undefined) ctx.out.line(`${run.runId} of ${run.workflow}, from ${formatTime(first.at)} on\n`);
    let entry = 0;
    const rows = lines.map((line) => {
      const again = line.seq === entry; // one entry holds all that one input caused
      entry = line.seq;
      const cause = again ? '' : `${line.causeKind ?? 'input'} #${line.cause}`;
      return [again ? '' : String(line.seq), again ? '' : formatClock(line.at), cause, line.text];
    });
    ctx.out.table(['ENTRY', 'TIME', 'CAUSE', 'WHAT'], rows);
  });
}

export function registerHistory(runs: Command, ctx: CliContext): void {
  runs
    .command('history')
    .description('show every transition of a run, when it was decided and what caused it')
    .argument('<run>', 'id of the run; its beginning is enough while it is unique')
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace runs history 7k2p')
    .action((run: string, options: { workflow?: string }) => history(ctx, run, options));
}
