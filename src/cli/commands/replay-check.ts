/** `millrace replay check`: would the last runs of a live system break under new code? */
import type { Command } from 'commander';
import type { RunRef } from '../../engine/index.ts';
import { type Code, type Fit, type RunHistory, replayHistory } from '../../functions/index.ts';
import { MillraceError } from '../../kernel/index.ts';
import { checkManifests, countProblems, formatProblem, readManifests } from '../../manifests/index.ts';
import { readInputBody } from '../../replay/index.ts';
import type { CliContext } from '../context.ts';
import { renderTable } from '../format-table.ts';
import { functionOf } from '../module.node.ts';
import { jsonOption, wholeNumber } from '../options.ts';

interface CheckOptions {
  readonly last: number;
  readonly module?: string;
  readonly manifests?: readonly string[];
}

/** The last runs that something happened to, the latest first. */
async function lastRuns(ctx: CliContext, workflow: string, count: number): Promise<readonly RunRef[]> {
  const reader = await ctx.reader();
  const lastEntry = new Map<string, number>();
  for await (const { run, entry } of reader.entries(workflow, ctx.signal)) lastEntry.set(run.runId, entry.seq);
  const latest = [...lastEntry].sort(([, a], [, b]) => b - a).slice(0, count);
  return latest.map(([runId]) => ({ workflow, runId }));
}

async function historyOf(ctx: CliContext, run: RunRef, withInputs: boolean): Promise<RunHistory> {
  const journal = await ctx.journal();
  const entries = await journal.entries(run);
  const stored = withInputs ? await journal.inputsBetween(run, 0, Number.MAX_SAFE_INTEGER) : [];
  const inputs = stored.map((input) => ({ seq: input.seq, at: input.at, body: readInputBody(input) }));
  return { ...run, entries, inputs };
}

/** The new code: of a module, of manifests, else what is applied now. */
async function codeOf(ctx: CliContext, workflow: string, { module, manifests }: CheckOptions): Promise<Code> {
  if (module !== undefined) return functionOf(module, workflow);
  const definition =
    manifests === undefined
      ? await (await ctx.definitions()).current(workflow)
      : await fromManifests(manifests, workflow);
  if (definition === undefined) {
    throw new MillraceError('MR_WORKFLOW_MISSING', `there is no workflow "${workflow}"`, {
      hint: manifests === undefined ? 'see `millrace runs list` for those there are' : 'name the manifest that has it',
    });
  }
  if (definition.code !== true) return definition;
  throw new MillraceError('MR_USAGE', `"${workflow}" is a durable function: its code is not in the system`, {
    hint: 'name the module that exports it: --module ./dist/workflows.js',
  });
}

async function fromManifests(paths: readonly string[], workflow: string) {
  const checked = checkManifests(await readManifests(paths));
  const [first] = checked.problems.filter(({ severity }) => severity === 'error');
  if (first === undefined) return checked.definitions.find(({ name }) => name === workflow);
  throw new MillraceError('MR_MANIFEST_INVALID', `${countProblems(checked.problems)}: ${formatProblem(first)}`, {
    hint: 'see `millrace validate`',
    place: first.place,
  });
}

async function check(ctx: CliContext, workflow: string, options: CheckOptions): Promise<void> {
  const { out } = ctx;
  const code = await codeOf(ctx, workflow, options);
  const runs = await lastRuns(ctx, workflow, options.last);
  const progress = out.progress('replaying');
  const found: Fit[] = [];
  try {
    for (const run of runs) {
      ctx.signal.throwIfAborted();
      found.push(await replayHistory(await historyOf(ctx, run, !('run' in code)), code));
      progress.tick(found.length, runs.length);
    }
  } finally {
    progress.end();
  }
  const broken = found.filter(({ fits }) => !fits);
  out.result({ workflow, runs: found.length, broken: broken.length, results: found }, () => {
    const rows = found.map(({ runId, fits, replayed, reason }) => [
      runId,
      fits ? out.c.green('fits') : out.c.red('breaks'),
      String(replayed),
      reason?.split('\n')[0] ?? '',
    ]);
    if (rows.length > 0) out.line(renderTable(['RUN', 'VERDICT', 'REPLAYED', 'WHY'], rows, out.c));
    const verdict = broken.length === 0 ? out.c.green('all fit') : out.c.red(`${broken.length} would break`);
    out.line(`${found.length} runs of ${workflow}: ${verdict}`);
  });
  const [first] = broken;
  if (first === undefined) return;
  throw new MillraceError('MR_REPLAY_DIVERGED', `run ${first.runId} of ${workflow}: ${first.reason}`, {
    hint: 'guard the change with ctx.patched(id), give the new code another workflow name, or wait until these runs have ended',
  });
}

export function registerCheck(replay: Command, ctx: CliContext): void {
  replay
    .command('check')
    .description('say which of the last runs would break under new code')
    .argument('<workflow>', 'name of the workflow')
    .option('--last <count>', 'how many runs, those that something happened to last', wholeNumber(1), 100)
    .option('--module <file>', 'module that exports the new code of a durable function')
    .option('--manifests <paths...>', 'manifests with the new definition of a declared workflow')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
A durable function is executed on the results that its runs have recorded; nothing it asks for happens, nothing is
written. A declared workflow decides every recorded input again (without --manifests: as it is applied now). Exit code 1
and MR_REPLAY_DIVERGED when a run would break: for CI, before new code is deployed.
Examples:
  $ millrace replay check order --module ./dist/workflows.js
  $ millrace replay check delay-report --last 500 --manifests streams/ --json`,
    )
    .action((workflow: string, options: CheckOptions) => check(ctx, workflow, options));
}
