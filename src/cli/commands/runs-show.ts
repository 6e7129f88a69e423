/** `millrace runs show <id>`: one run with all its attempts and the ways to look further. */
import type { Command } from 'commander';
import { isEnded } from '../../engine/index.ts';
import { type Json, shortHash } from '../../kernel/index.ts';
import { type AttemptView, itemsText, type RunView, type StepView, viewRun } from '../../replay/index.ts';
import { parseTraceparent } from '../../telemetry/index.ts';
import type { CliContext, Settings } from '../context.ts';
import { findRun } from '../find-run.ts';
import { formatStatus } from '../format-status.ts';
import { formatRelative, formatTime, formatTook, oneLine } from '../format-time.ts';
import { jsonOption, workflowOption } from '../options.ts';
import type { Output } from '../output.ts';
import { printTree, readTree } from './runs-tree.ts';

/** Where people look at a flow run in Prefect. */
export function flowRunUrl(settings: Settings, flowRunId: string): string | undefined {
  return settings.prefectUiUrl === undefined ? undefined : `${settings.prefectUiUrl}/runs/flow-run/${flowRunId}`;
}

/** Where people look at a trace in Jaeger. */
export function traceUrl(settings: Settings, traceId: string): string | undefined {
  return settings.jaegerUrl === undefined ? undefined : `${settings.jaegerUrl}/trace/${traceId}`;
}

const optional = <K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } =>
  value === undefined ? {} : ({ [key]: value } as { [P in K]: V });

function attemptData(attempt: AttemptView, settings: Settings) {
  const url = attempt.flowRunId === undefined ? undefined : flowRunUrl(settings, attempt.flowRunId);
  return { ...attempt, ...optional('flowRunUrl', url) };
}

function stepData(step: StepView, settings: Settings, items = false): object {
  const { attempts, items: all, ...rest } = step;
  const { list = [], ...counts } = all ?? {};
  const each = items ? { list: list.map((item) => stepData(item, settings)) } : {};
  return {
    ...rest,
    ...(all === undefined ? {} : { items: { ...counts, ...each } }),
    attempt: attempts.at(-1)?.attempt ?? 0,
    attempts: attempts.map((attempt) => attemptData(attempt, settings)),
  };
}

/** The run as `--json` prints it. */
export function runData(view: RunView, settings: Settings, options: { readonly items?: boolean } = {}) {
  const { steps: _steps, items: _items, trace, ...state } = view.state;
  const traceId = parseTraceparent(trace?.traceparent)?.traceId;
  return {
    ...state,
    ...(traceId === undefined ? {} : { trace: { traceId, ...optional('url', traceUrl(settings, traceId)) } }),
    entries: view.entries,
    steps: view.steps.map((step) => stepData(step, settings, options.items)),
  };
}

/** What there is to say of an attempt that did not fail. */
function quietDetail({ items, child, attempts, reason, progress }: StepView, attempt: AttemptView | undefined): string {
  if (items !== undefined) return itemsText(items);
  if (child !== undefined && attempt === attempts.at(-1)) return `run ${child.runId} of ${child.workflow}`;
  const said = progress === undefined || attempt?.status !== 'running' ? '' : JSON.stringify(progress);
  return attempt?.flowState?.name ?? reason ?? said;
}

function attemptRow(
  step: StepView,
  attempt: AttemptView | undefined,
  first: boolean,
  now: number,
  out: Output,
): string[] {
  const error = attempt?.error;
  const waits =
    attempt?.retryAt !== undefined && step.status === 'backoff'
      ? `; again ${formatRelative(attempt.retryAt, now)}`
      : '';
  const detail = error === undefined ? quietDetail(step, attempt) : `${error.message}${waits}`;
  return [
    first ? step.name : '',
    attempt === undefined ? '' : String(attempt.attempt),
    formatStatus(attempt?.status ?? step.status, out.c),
    attempt === undefined ? '' : formatTook(attempt.scheduledAt, attempt.endedAt, now),
    attempt?.startedAt === undefined ? '' : formatTook(attempt.startedAt, attempt.endedAt, now),
    attempt?.worker?.startsWith('prefect:') === true ? 'prefect' : (attempt?.worker ?? ''),
    oneLine(detail),
  ];
}

function closingText({ state }: RunView): string | undefined {
  if (state.closing === undefined || isEnded(state)) return undefined;
  const { outcome, error, reason } = state.closing;
  const left = (state.undo ?? []).length;
  const undo = left === 0 ? '' : `; ${left} ${left === 1 ? 'step' : 'steps'} to compensate`;
  return outcome === 'failed' ? `fails: ${error?.message ?? ''}${undo}` : `is being cancelled: ${reason ?? ''}${undo}`;
}

function pausedText({ state, steps }: RunView, c: Output['c']): string | undefined {
  const paused = steps.filter(({ status }) => status === 'paused').map(({ name }) => name);
  if (paused.length === 0) return undefined;
  return `${c.yellow(paused.join(', '))}; mend what is broken, then: millrace runs resume ${state.runId}`;
}

function printHead(view: RunView, settings: Settings, now: number, out: Output): void {
  const { c } = out;
  const { state } = view;
  const facts: [string, string | undefined][] = [
    ['workflow', `${state.workflow} ${c.dim(`(definition ${state.digest})`)}`],
    ['status', `${formatStatus(state.status, c)} ${formatTook(state.startedAt, state.endedAt, now)}`],
    ['started', state.startedAt === undefined ? undefined : formatTime(state.startedAt)],
    [
      'by',
      state.source === undefined
        ? state.by
        : `${state.source.subject} (message ${state.source.sequence} of ${state.source.stream}, trigger ${state.source.trigger})`,
    ],
    [
      'parent',
      state.parent === undefined
        ? undefined
        : `run ${state.parent.runId} of ${state.parent.workflow}, step ${state.parent.step}`,
    ],
    ['retries', state.retries === 0 ? undefined : `${state.retries} by hand`],
    ['payload', oneLine(JSON.stringify(state.payload))],
  ];
  const traceId = parseTraceparent(state.trace?.traceparent)?.traceId;
  if (traceId !== undefined) facts.push(['trace', `${traceId} ${traceUrl(settings, traceId) ?? ''}`.trim()]);
  if (state.error !== undefined) {
    facts.push(['error', c.red(`${state.error.message} (${state.error.code})`)], ['hint', state.error.hint]);
  }
  facts.push(['reason', state.reason], ['closing', closingText(view)], ['paused', pausedText(view, c)]);
  for (const [name, due] of Object.entries(state.timers)) facts.push(['timer', `${name} ${formatRelative(due, now)}`]);
  for (const signal of state.signals) facts.push(['signal', `${signal.name} received, nobody waits for it yet`]);
  out.line(`${c.bold('run')} ${state.runId}`);
  for (const [name, text] of facts) if (text !== undefined) out.line(`  ${c.dim(name.padEnd(9))} ${text}`);
}

function printView(view: RunView, settings: Settings, now: number, out: Output): void {
  printHead(view, settings, now, out);
  const rows = view.steps.flatMap((step) =>
    step.attempts.length === 0
      ? [attemptRow(step, undefined, true, now, out)]
      : step.attempts.map((attempt, index) => attemptRow(step, attempt, index === 0, now, out)),
  );
  out.line();
  out.table(['STEP', 'TRY', 'STATUS', 'TOOK', 'WORKED', 'BY', 'DETAIL'], rows);
  const flows = view.steps.flatMap((step) =>
    step.attempts.flatMap(({ attempt, flowRunId }) =>
      flowRunId === undefined ? [] : [`  ${step.name} ${attempt}: ${flowRunUrl(settings, flowRunId) ?? flowRunId}`],
    ),
  );
  if (flows.length > 0) out.line(`\nFlow runs in Prefect\n${flows.join('\n')}`);
  const outputs = view.steps.filter(({ output }) => output !== undefined && output !== null);
  if (outputs.length > 0) {
    out.line('\nOutputs (whole with --json)');
    for (const { name, output } of outputs) out.line(`  ${name}: ${outputText(output ?? null)}`);
  }
}

function outputText(output: Json): string {
  const text = JSON.stringify(output);
  return text.length <= 100 ? text : `${oneLine(text, 90)} (${text.length} characters, ${shortHash(text, 8)})`;
}

/** The steps, each followed by its items where those are wanted. */
function withItems(steps: readonly StepView[]): readonly StepView[] {
  return steps.flatMap((step) => [step, ...(step.items?.list ?? [])]);
}

interface ShowOptions {
  readonly workflow?: string;
  readonly items?: true;
  readonly tree?: true;
}

async function show(ctx: CliContext, text: string, options: ShowOptions): Promise<void> {
  const run = await findRun(ctx, text, options.workflow);
  const entries = await (await ctx.journal()).entries(run);
  const bare = viewRun(run, entries);
  const definition = await (await ctx.definitions()).byDigest(run.workflow, bare.state.digest);
  const view = definition === undefined ? bare : viewRun(run, entries, definition);
  const settings = ctx.settings();
  const tree = options.tree === true ? await readTree(await ctx.journal(), view.state) : undefined;
  const { items = false } = options;
  const data = { ...runData(view, settings, { items }), ...optional('tree', tree) };
  ctx.out.result(data, () => {
    printView(items ? { ...view, steps: withItems(view.steps) } : view, settings, ctx.now(), ctx.out);
    if (tree === undefined) return;
    ctx.out.line('\nTree');
    printTree(tree, ctx.now(), ctx.out, '  ');
  });
}

export function registerShow(runs: Command, ctx: CliContext): void {
  runs
    .command('show')
    .description('show one run: steps, attempts, times, errors, flow runs, trace')
    .argument('<run>', 'id of the run; its beginning is enough while it is unique')
    .option('--items', 'list the items of steps over lists, too')
    .option('--tree', 'show its child runs, and theirs')
    .addOption(workflowOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ millrace runs show 7k2p\n  $ millrace runs show 7k2p --tree\n  $ millrace runs show 7k2p --json | jq .status',
    )
    .action((run: string, options: ShowOptions) => show(ctx, run, options));
}
