/** `millrace runs pin|unpin|pins|purge`: which runs stay, and purging ended ones by hand. */
import { type Command, Option } from 'commander';
import { MillraceError, tryParseDuration } from '../../kernel/index.ts';
import type { RunSummary } from '../../replay/index.ts';
import type { PinStore } from '../../storage/index.ts';
import type { CliContext } from '../context.ts';
import { findRun, workflowsToSearch } from '../find-run.ts';
import { formatStatus } from '../format-status.ts';
import { formatTime } from '../format-time.ts';
import { jsonOption, workflowOption } from '../options.ts';
import { readSummaries } from '../summaries.ts';

const ENDED = ['completed', 'failed', 'cancelled'] as const;

interface PurgeOptions {
  readonly workflow?: string;
  readonly before: string;
  readonly status?: (typeof ENDED)[number];
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

async function pinsOf(ctx: CliContext): Promise<PinStore> {
  const { openPins } = await import('../../storage/index.ts');
  return openPins((await ctx.door()).nc);
}

async function pin(ctx: CliContext, text: string, options: { workflow?: string; reason?: string }): Promise<void> {
  const run = await findRun(ctx, text, options.workflow);
  const pins = await pinsOf(ctx);
  await pins.pin(run, ctx.by, options.reason);
  // The janitor may have been at it: what is pinned must be there.
  if (!(await (await ctx.reader()).has(run))) {
    await pins.unpin(run);
    throw new MillraceError('MR_RUN_MISSING', `run ${run.runId} was purged while it was being pinned`, {
      hint: 'its retention was over; give runs that matter a longer one',
    });
  }
  ctx.out.result({ ...run, pinned: true }, () => ctx.out.line(`run ${run.runId} is kept until it is unpinned`));
}

async function unpin(ctx: CliContext, text: string, options: { workflow?: string }): Promise<void> {
  const run = await findRun(ctx, text, options.workflow);
  const was = await (await pinsOf(ctx)).unpin(run);
  ctx.out.result({ ...run, pinned: false, was }, () => {
    ctx.out.line(was ? `run ${run.runId} is pinned no more: its retention counts` : `run ${run.runId} was not pinned`);
  });
}

async function pins(ctx: CliContext): Promise<void> {
  const all = await (await pinsOf(ctx)).list();
  ctx.out.result(all, () => {
    if (all.length === 0) return ctx.out.line('no run is pinned');
    const rows = all.map(({ runId, workflow, at, by, reason }) => [runId, workflow, formatTime(at), by, reason ?? '']);
    ctx.out.table(['RUN', 'WORKFLOW', 'PINNED', 'BY', 'WHY'], rows);
  });
}

/** A point in time: a date, or an age such as `7d`. */
function timeOf(text: string, now: number): number {
  const age = tryParseDuration(text);
  const at = age === undefined ? Date.parse(text) : now - age;
  if (!Number.isNaN(at)) return at;
  throw new MillraceError('MR_USAGE', `--before ${text} is no time`, {
    hint: 'give an age such as 7d, or a date such as 2001-02-03 or 2001-02-03T04:05:06Z',
  });
}

async function purge(ctx: CliContext, options: PurgeOptions): Promise<void> {
  const before = timeOf(options.before, ctx.now());
  if (options.yes !== true && options.dryRun !== true) {
    throw new MillraceError('MR_USAGE', 'purged runs are gone for good', {
      hint: 'look with --dry-run, then add --yes; `millrace runs export` keeps a copy',
    });
  }
  const all = await readSummaries(ctx, await workflowsToSearch(ctx, options.workflow));
  const pinned = new Set((await (await pinsOf(ctx)).list()).map(({ workflow, runId }) => `${workflow} ${runId}`));
  const wanted = all
    .filter(({ endedAt }) => endedAt !== undefined && endedAt < before)
    .filter(({ status }) => options.status === undefined || status === options.status)
    .filter(({ workflow, runId }) => !pinned.has(`${workflow} ${runId}`))
    .sort((a, b) => (a.endedAt ?? 0) - (b.endedAt ?? 0));
  const purged = options.dryRun === true ? wanted : await purgeAll(ctx, wanted);
  const data = purged.map(({ workflow, runId, status, endedAt }) => ({ workflow, runId, status, endedAt }));
  ctx.out.result({ dryRun: options.dryRun === true, runs: data }, () => {
    const rows = purged.map((run) => [
      ...[run.runId, run.workflow, formatStatus(run.status, ctx.out.c)],
      run.endedAt === undefined ? '' : formatTime(run.endedAt),
    ]);
    if (options.dryRun === true && rows.length > 0) ctx.out.table(['RUN', 'WORKFLOW', 'STATUS', 'ENDED'], rows);
    const many = `${rows.length} run${rows.length === 1 ? '' : 's'}`;
    ctx.out.line(options.dryRun === true ? `${many} would be purged` : `${many} purged`);
  });
}

async function purgeAll(ctx: CliContext, runs: readonly RunSummary[]): Promise<readonly RunSummary[]> {
  const { purgeEnded } = await import('../../storage/index.ts');
  const door = await ctx.door();
  const gone: RunSummary[] = [];
  const progress = ctx.out.progress('purging');
  for (const run of runs) {
    ctx.signal.throwIfAborted();
    if (await purgeEnded(door, run, run.lastEntry)) gone.push(run);
    progress.tick(gone.length, runs.length);
  }
  progress.end();
  return gone;
}

const RUN = ['<run>', 'id of the run; its beginning is enough while it is unique'] as const;

export function registerKeep(runs: Command, ctx: CliContext): void {
  runs
    .command('pin')
    .description('keep a run whatever its age: retention and purge leave it alone')
    .argument(...RUN)
    .option('-r, --reason <text>', 'why; `runs pins` shows it')
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText('after', "\nExamples:\n  $ millrace runs pin 7k2p --reason 'the outage of Monday'")
    .action((run: string, options: { workflow?: string; reason?: string }) => pin(ctx, run, options));
  runs
    .command('unpin')
    .description('let retention have a run again')
    .argument(...RUN)
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace runs unpin 7k2p')
    .action((run: string, options: { workflow?: string }) => unpin(ctx, run, options));
  runs
    .command('pins')
    .description('list the pinned runs, who pinned them and why')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ millrace runs pins')
    .action(() => pins(ctx));
  runs
    .command('purge')
    .description('remove ended runs for good: their inputs, logs and objects; pinned ones stay')
    .requiredOption('-b, --before <time>', 'only runs that ended before it: an age such as 7d, or a date')
    .addOption(new Option('-s, --status <status>', 'only runs of this status').choices(ENDED))
    .addOption(workflowOption())
    .option('--dry-run', 'only show what would go')
    .option('--yes', 'really remove them')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Workflows with a retention are purged by the controllers (docs/manifests.md); this is for those without, and for once.
Examples:
  $ millrace runs purge --before 30d --status failed --dry-run
  $ millrace runs purge -w delay-report --before 2001-02-03 --yes`,
    )
    .action((options: PurgeOptions) => purge(ctx, options));
}
