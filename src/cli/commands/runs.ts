/** `millrace runs …`: the group, and `runs list`. */
import { type Command, Option } from 'commander';
import type { RunStatus } from '../../engine/index.ts';
import { type RunSummary, selectRuns } from '../../replay/index.ts';
import type { CliContext } from '../context.ts';
import { workflowsToSearch } from '../find-run.ts';
import { formatStatus } from '../format-status.ts';
import { formatTime, formatTook, oneLine } from '../format-time.ts';
import { jsonOption, wholeNumber, workflowOption } from '../options.ts';
import { readSummaries } from '../summaries.ts';
import { registerControl } from './runs-control.ts';
import { registerHistory } from './runs-history.ts';
import { registerKeep } from './runs-keep.ts';
import { registerMove } from './runs-move.ts';
import { registerShow } from './runs-show.ts';
import { registerStart } from './runs-start.ts';
import { registerTransfer } from './runs-transfer.ts';

const STATUSES = [
  'running',
  'queued',
  'completed',
  'failed',
  'cancelled',
  'new',
] as const satisfies readonly RunStatus[];

interface ListOptions {
  readonly workflow?: string;
  readonly status?: RunStatus;
  readonly paused?: true;
  readonly limit: number;
}

function detail(run: RunSummary): string {
  if (run.error !== undefined) {
    return oneLine(run.failedStep === undefined ? run.error.message : `${run.failedStep}: ${run.error.message}`, 60);
  }
  if (run.paused !== undefined) return oneLine(`paused at ${run.paused.join(', ')}`, 60);
  const at = run.open.length === 0 ? '' : `at ${run.open.join(', ')}`;
  if (run.closing === undefined) return at;
  return oneLine(`${run.closing === 'failed' ? 'failing' : 'being cancelled'} ${at}`, 60);
}

async function list(ctx: CliContext, options: ListOptions): Promise<void> {
  const { out } = ctx;
  const all = await readSummaries(ctx, await workflowsToSearch(ctx, options.workflow));
  const wanted = selectRuns(all, { status: options.status, paused: options.paused });
  const shown = options.limit === 0 ? wanted : wanted.slice(0, options.limit);
  const now = ctx.now();
  out.result(shown, () => {
    if (shown.length === 0) {
      const what = options.paused === true ? 'paused' : (options.status ?? 'there');
      return out.line(all.length === 0 ? 'no runs yet' : `none of ${all.length} runs is ${what}`);
    }
    const rows = shown.map((run) => [
      run.runId,
      run.workflow,
      formatStatus(run.status, out.c),
      run.startedAt === undefined ? '' : formatTime(run.startedAt),
      formatTook(run.startedAt, run.endedAt, now),
      `${run.stepsCompleted + run.stepsSkipped}`,
      `${run.failures}`,
      detail(run),
    ]);
    out.table(['RUN', 'WORKFLOW', 'STATUS', 'STARTED', 'TOOK', 'STEPS', 'FAILURES', 'DETAIL'], rows);
    if (shown.some(({ paused }) => paused !== undefined)) {
      out.note('what is paused goes on with `millrace runs resume <run>`');
    }
    if (shown.length < wanted.length) out.note(`${shown.length} of ${wanted.length}; --limit 0 shows all`);
  });
}

export function register(program: Command, ctx: CliContext): void {
  const runs = program.command('runs').description('look at runs, start them, and act on them');
  runs
    .command('list')
    .alias('ls')
    .description('list runs, the newest first')
    .addOption(workflowOption())
    .addOption(new Option('-s, --status <status>', 'only runs of this status').choices(STATUSES))
    .option('--paused', 'only runs with a step that waits for a person')
    .option('-n, --limit <number>', 'at most so many; 0 for all', wholeNumber(0), 20)
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  $ millrace runs list --status failed
  $ millrace runs list -w delay-report --limit 0 --json | jq '.[].runId'`,
    )
    .action((options: ListOptions) => list(ctx, options));
  registerShow(runs, ctx);
  registerHistory(runs, ctx);
  registerStart(runs, ctx);
  registerControl(runs, ctx);
  registerKeep(runs, ctx);
  registerTransfer(runs, ctx);
  registerMove(runs, ctx);
}
