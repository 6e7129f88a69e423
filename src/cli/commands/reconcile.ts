/** `millrace reconcile`: do the streams and Prefect tell the same story, and what would be done where they do not? */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Difference, Differences, Reconciliation } from '../../bridge/index.ts';
import { systemClock } from '../../drivers/index.ts';
import { formatDuration, MillraceError, tryParseDuration } from '../../kernel/index.ts';
import { noTelemetry } from '../../telemetry/index.ts';
import type { CliContext } from '../context.ts';
import { writeText } from '../files.node.ts';
import { workflowsToSearch } from '../find-run.ts';
import { EXIT } from '../format-error.ts';
import { formatStatus } from '../format-status.ts';
import { counted, formatClock } from '../format-time.ts';
import { jsonOption, workflowOption } from '../options.ts';

interface ReconcileOptions {
  readonly workflow?: string;
  readonly plan?: true;
  readonly output?: string;
  readonly apply?: string | true;
  readonly watch?: true;
  readonly interval: number;
}

async function agreement(ctx: CliContext, options: ReconcileOptions): Promise<void> {
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
      out.note('a running controller repairs this within its next sweeps; --plan shows how, --apply does it now');
  });
  if (found.disagreements.length > 0) ctx.exit(EXIT.failed);
}

async function open(ctx: CliContext): Promise<Reconciliation> {
  const { openReconciliation } = await import('../../bridge/index.ts');
  return openReconciliation({
    door: await ctx.door(),
    journal: await ctx.journal(),
    definitions: await ctx.definitions(),
    prefect: await ctx.prefect(),
    telemetry: noTelemetry,
  });
}

async function look(
  ctx: CliContext,
  reconciliation: Reconciliation,
  workflow: string | undefined,
): Promise<Differences> {
  const progress = ctx.out.progress('comparing');
  try {
    return await reconciliation.plan(await workflowsToSearch(ctx, workflow), progress.tick);
  } finally {
    progress.end();
  }
}

function show({ out }: CliContext, { looked, differences }: Differences): void {
  const rows = differences.map((one) => [
    one.runId,
    one.step,
    String(one.attempt),
    formatStatus(one.ours, out.c),
    formatStatus(one.theirs, out.c),
    one.class,
    one.reason,
    one.repair.join('; ') || out.c.dim('nothing yet'),
  ]);
  if (rows.length > 0) out.table(['RUN', 'STEP', 'TRY', 'STREAM', 'PREFECT', 'CLASS', 'REASON', 'REPAIR'], rows);
  out.line(`${counted(differences.length, 'difference')} in ${counted(looked, 'attempt')}`);
}

async function plan(ctx: CliContext, options: ReconcileOptions): Promise<void> {
  const found = await look(ctx, await open(ctx), options.workflow);
  if (options.output !== undefined) await writeText(options.output, `${JSON.stringify(found, null, 2)}\n`);
  ctx.out.result(found, () => show(ctx, found));
  if (options.output !== undefined) {
    ctx.out.note(`written to ${options.output}; carry it out with millrace reconcile --apply ${options.output}`);
  }
  if (found.differences.length > 0) ctx.exit(EXIT.failed);
}

async function apply(ctx: CliContext, options: ReconcileOptions): Promise<void> {
  const { out } = ctx;
  const reconciliation = await open(ctx);
  const { parseDifferences } = await import('../../bridge/index.ts');
  const wanted =
    typeof options.apply === 'string'
      ? parseDifferences(await ctx.read(`@${options.apply}`), options.apply)
      : await look(ctx, reconciliation, options.workflow);
  if (!out.json) show(ctx, wanted);
  const progress = out.progress('repairing');
  const done = await reconciliation.apply(wanted, progress.tick).finally(() => progress.end());
  out.result(done, () => {
    out.line(`${done.repaired} repaired, ${done.waiting} with nothing to do yet, ${done.moved} changed meanwhile`);
  });
  if (done.moved > 0) ctx.exit(EXIT.failed);
}

/** Shows what appears and what goes, until it is told to end. */
async function watch(ctx: CliContext, options: ReconcileOptions): Promise<void> {
  const { out, signal } = ctx;
  const reconciliation = await open(ctx);
  let known = new Map<string, Difference>();
  const say = (sign: '+' | '-', one: Difference): void => {
    if (out.json)
      return out.line(JSON.stringify({ at: ctx.now(), change: sign === '+' ? 'appeared' : 'gone', ...one }));
    const colour = sign === '+' ? out.c.yellow : out.c.green;
    const repair = sign === '+' ? `: ${one.repair.join('; ') || 'nothing to do yet'}` : '';
    out.line(
      `${formatClock(ctx.now())}  ${colour(sign)} ${one.class}  ${one.runId} ${one.step}/${one.attempt}${repair}`,
    );
  };
  out.note(`looking every ${formatDuration(options.interval)}; end with Ctrl-C`);
  while (!signal.aborted) {
    const { differences } = await look(ctx, reconciliation, options.workflow);
    const now = new Map(differences.map((one) => [one.seal, one]));
    for (const [seal, one] of known) if (!now.has(seal)) say('-', one);
    for (const [seal, one] of now) if (!known.has(seal)) say('+', one);
    known = now;
    await systemClock.sleep(options.interval, signal).catch(() => undefined);
  }
}

function run(ctx: CliContext, options: ReconcileOptions): Promise<void> {
  const modes = [options.plan, options.apply, options.watch].filter((mode) => mode !== undefined);
  if (modes.length > 1) {
    throw new MillraceError('MR_USAGE', 'give one of --plan, --apply and --watch', {
      hint: '--apply without a file makes a plan, shows it, and carries it out',
    });
  }
  if (options.output !== undefined && options.plan === undefined) {
    throw new MillraceError('MR_USAGE', '--output goes with --plan', {
      hint: 'millrace reconcile --plan -o plan.json',
    });
  }
  if (options.plan) return plan(ctx, options);
  if (options.apply !== undefined) return apply(ctx, options);
  return options.watch ? watch(ctx, options) : agreement(ctx, options);
}

function interval(text: string): number {
  const ms = tryParseDuration(text);
  if (ms === undefined || ms < 100)
    throw new InvalidArgumentError('It must be a duration of 100ms or more, such as 5s.');
  return ms;
}

export function register(program: Command, ctx: CliContext): void {
  program
    .command('reconcile')
    .description('compare every Prefect attempt in the streams with Prefect; show or do what is needed')
    .option('--plan', 'show each difference with its class, reason and intended repair; changes nothing')
    .option('-o, --output <file>', 'write the plan to a file, for --apply')
    .option('--apply [file]', 'carry out exactly this plan; refused when the world has moved since')
    .option('--watch', 'look again and again, and show what appears and what goes')
    .addOption(
      new Option('--interval <duration>', 'between two looks of --watch').default(5_000, '5s').argParser(interval),
    )
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Exit code 1 when they differ. Controllers repair differences by themselves; this is for looking, and for doing it now.
Classes: docs/reconciliation.md.
Examples:
  $ millrace reconcile
  $ millrace reconcile --plan -o plan.json && millrace reconcile --apply plan.json
  $ millrace reconcile --watch --interval 2s
  $ millrace reconcile --json | jq .disagreements`,
    )
    .action((options: ReconcileOptions) => run(ctx, options));
}
