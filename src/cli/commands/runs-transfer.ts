/** `millrace runs export|import`: a run as a file, and back. */
import type { Command } from 'commander';
import type { Definition } from '../../engine/index.ts';
import { isToken, MillraceError } from '../../kernel/index.ts';
import { digestsOf, readInputBody } from '../../replay/index.ts';
import type { CliContext } from '../context.ts';
import { findRun } from '../find-run.ts';
import { jsonOption, workflowOption } from '../options.ts';

interface ExportOptions {
  readonly workflow?: string;
  readonly output?: string;
}

async function exportIt(ctx: CliContext, text: string, options: ExportOptions): Promise<void> {
  const { exportRun } = await import('../../storage/index.ts');
  const run = await findRun(ctx, text, options.workflow);
  const journal = await ctx.journal();
  const entries = await journal.entries(run);
  const inputs = await journal.inputsBetween(run, 0, Number.MAX_SAFE_INTEGER);
  const store = await ctx.definitions();
  const definitions: Definition[] = [];
  for (const digest of digestsOf({ run, entries, inputs }, readInputBody)) {
    const definition = await store.byDigest(run.workflow, digest);
    if (definition !== undefined) definitions.push(definition);
  }
  const lines = exportRun(run, definitions, inputs, entries);
  if (options.output === undefined) {
    for (const line of lines) ctx.out.line(line);
    return;
  }
  await ctx.write(options.output, `${lines.join('\n')}\n`);
  const counts = `${inputs.length} inputs and ${entries.length} log entries`;
  ctx.out.note(`run ${run.runId}: ${counts} in ${options.output}`);
}

async function importIt(ctx: CliContext, file: string, options: { readonly as?: string }): Promise<void> {
  const { importRun, parseExport, purgeWhole } = await import('../../storage/index.ts');
  const exported = parseExport(await ctx.read(`@${file}`), file);
  const as = options.as ?? exported.runId;
  if (!isToken(as)) {
    throw new MillraceError('MR_USAGE', `"${as}" cannot be a run id`, {
      hint: 'use letters, digits, "-" and "_", at most 64 characters',
    });
  }
  const store = await ctx.definitions();
  const current = await store.current(exported.workflow);
  if (current === undefined) {
    throw new MillraceError('MR_WORKFLOW_MISSING', `there is no workflow "${exported.workflow}" here`, {
      hint: 'apply its manifest first (or serve the function): the run needs its stream',
    });
  }
  for (const definition of exported.definitions) await store.keep(definition);
  const door = await ctx.door();
  const run = await importRun(exported, as, {
    journal: await ctx.journal(),
    purge: (one) => purgeWhole(door, one),
    importId: ctx.newId(),
  });
  const counts = { inputs: exported.inputs.length, entries: exported.entries.length };
  ctx.out.result({ ...run, status: exported.status, ...counts }, () => {
    ctx.out.line(`imported run ${run.runId} of ${run.workflow} (${exported.status}, ${counts.entries} log entries)`);
    ctx.out.note(`see \`millrace runs show ${run.runId}\``);
  });
}

export function registerTransfer(runs: Command, ctx: CliContext): void {
  runs
    .command('export')
    .description('write a run as JSON lines: its definitions, inputs and log')
    .argument('<run>', 'id of the run; its beginning is enough while it is unique')
    .option('-o, --output <file>', 'where to; without it to stdout')
    .addOption(workflowOption())
    .addHelpText('after', '\nExamples:\n  $ millrace runs export 7k2p -o 7k2p.jsonl')
    .action((run: string, options: ExportOptions) => exportIt(ctx, run, options));
  runs
    .command('import')
    .description('bring in an ended run that was exported, here or elsewhere; nothing of it is executed')
    .argument('<file>', 'what `runs export` wrote; - for stdin')
    .option('--as <id>', 'its id here; by default the one it had')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
The workflow must have been applied here. History and replay work as where it ran; times are those of then.
Examples:
  $ millrace runs import 7k2p.jsonl
  $ millrace runs import 7k2p.jsonl --as incident-12`,
    )
    .action((file: string, options: { as?: string }) => importIt(ctx, file, options));
}
