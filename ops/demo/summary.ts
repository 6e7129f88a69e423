/** The demo's summary: figures out of the runs' logs, and the lines that show them. Pure. */

import { fold, type StoredEntry } from '../../src/engine/index.ts';
import { formatDuration } from '../../src/kernel/index.ts';

export interface LoggedRun {
  readonly workflow: string;
  readonly runId: string;
  readonly entries: readonly StoredEntry[];
}

export interface Quantiles {
  readonly count: number;
  /** ms */
  readonly p50: number;
  readonly p99: number;
}

/** The smallest value that at least `share` of the values do not exceed (nearest rank); undefined of none. */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

export function quantiles(values: readonly number[]): Quantiles | undefined {
  const [p50, p99] = [percentile(values, 0.5), percentile(values, 0.99)];
  return p50 === undefined || p99 === undefined ? undefined : { count: values.length, p50, p99 };
}

export interface RunTimes {
  /** From the storing of the message that started the run, in ms. */
  readonly toRunning: number | undefined;
  readonly toEnd: number | undefined;
}

/** A run's times by the journal. `toRunning` is when its first flow run was noted as RUNNING. */
export function timesOf(entries: readonly StoredEntry[]): RunTimes {
  let storedAt: number | undefined;
  let runningAt: number | undefined;
  let endedAt: number | undefined;
  for (const { at, transitions } of entries) {
    for (const t of transitions) {
      if (t.type === 'RunStarted') storedAt = t.source?.storedAt;
      else if (t.type === 'FlowStateChanged' && t.state.type === 'RUNNING') runningAt ??= at;
      else if (t.type === 'RunCompleted' || t.type === 'RunFailed' || t.type === 'RunCancelled') endedAt = at;
    }
  }
  const since = (at: number | undefined) => (at === undefined || storedAt === undefined ? undefined : at - storedAt);
  return { toRunning: since(runningAt), toEnd: since(endedAt) };
}

export interface FailedRun {
  readonly runId: string;
  readonly step: string;
  readonly reason: string;
  /** Where the message that started it is stored. */
  readonly source: { readonly stream: string; readonly sequence: number; readonly subject: string } | undefined;
}

export interface WorkflowSummary {
  readonly workflow: string;
  /** Runs by how they ended, e.g. `completed`, `completed (published)`, `failed`. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly toRunning: Quantiles | undefined;
  readonly toEnd: Quantiles | undefined;
  /** Attempts beyond the first. */
  readonly retries: number;
  readonly failed: readonly FailedRun[];
}

/** Of the two ends of quake-alert, the one this run took. */
const ENDINGS: Readonly<Record<string, string>> = {
  publish: 'published after review',
  expire: 'expired without review',
};

function outcomeOf(run: LoggedRun): {
  readonly outcome: string;
  readonly failed: FailedRun | undefined;
  retries: number;
} {
  const state = fold(run.workflow, run.runId, run.entries);
  const steps = Object.values(state.steps);
  const retries = steps.reduce((sum, step) => sum + Math.max(0, step.attempt - 1), 0);
  if (state.status === 'failed') {
    const { error, failedStep, source } = state;
    const reason = error?.message ?? 'no reason was given';
    return { outcome: 'failed', failed: { runId: run.runId, step: failedStep ?? '?', reason, source }, retries };
  }
  const ending = steps.find(({ name, status }) => status === 'completed' && ENDINGS[name] !== undefined);
  const how = ending === undefined ? undefined : ENDINGS[ending.name];
  return { outcome: how === undefined ? state.status : `${state.status}, ${how}`, failed: undefined, retries };
}

const present = (values: readonly (number | undefined)[]): number[] => values.filter((v) => v !== undefined);

/** One summary per workflow, by name. */
export function summarize(runs: readonly LoggedRun[]): WorkflowSummary[] {
  const names = [...new Set(runs.map(({ workflow }) => workflow))].sort();
  return names.map((workflow) => {
    const own = runs.filter((run) => run.workflow === workflow);
    const ends = own.map(outcomeOf);
    const times = own.map(({ entries }) => timesOf(entries));
    const outcomes: Record<string, number> = {};
    for (const { outcome } of ends) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    return {
      workflow,
      outcomes,
      toRunning: quantiles(present(times.map(({ toRunning }) => toRunning))),
      toEnd: quantiles(present(times.map(({ toEnd }) => toEnd))),
      retries: ends.reduce((sum, end) => sum + end.retries, 0),
      failed: ends.flatMap(({ failed }) => failed ?? []),
    };
  });
}

/** What the closing lines need besides the workflows. */
export interface Closing {
  readonly published: number;
  readonly elapsedMs: number;
  readonly agreement: { readonly agree: number; readonly total: number; readonly notes: readonly string[] } | undefined;
  /** Dead letters of the failed runs: subject by run. */
  readonly deadLetters: Readonly<Record<string, string>>;
  readonly prefectUi: string | undefined;
  readonly trace:
    | { readonly runId: string; readonly url: string; readonly traceId: string; readonly spans: number }
    | undefined;
  /** How to call the command line, e.g. `node dist/cli/main.js`. */
  readonly cli: string;
  readonly envFile: string;
  readonly exampleRun: string;
  /** `make`, with what names this run folder. */
  readonly make: string;
}

const dash = (value: Quantiles | undefined, pick: 'p50' | 'p99'): string =>
  value === undefined ? '-' : formatDuration(value[pick]);

function workflowLines(summaries: readonly WorkflowSummary[]): string[] {
  const row = (cells: readonly string[]): string =>
    `  ${cells.map((cell, i) => (i === 0 ? cell.padEnd(14) : cell.padStart(12))).join('')}`.trimEnd();
  const lines = [
    row(['workflow', 'runs', 'retries', 'to Running', '', 'to the end', '']),
    row(['', '', '', 'p50', 'p99', 'p50', 'p99']),
  ];
  for (const s of summaries) {
    const runs = Object.values(s.outcomes).reduce((sum, count) => sum + count, 0);
    const times = [dash(s.toRunning, 'p50'), dash(s.toRunning, 'p99'), dash(s.toEnd, 'p50'), dash(s.toEnd, 'p99')];
    lines.push(row([s.workflow, String(runs), String(s.retries), ...times]));
    for (const [outcome, count] of Object.entries(s.outcomes)) lines.push(`      ${count} ${outcome}`);
  }
  return lines;
}

function failureLines(summaries: readonly WorkflowSummary[], deadLetters: Closing['deadLetters']): string[] {
  return summaries.flatMap(({ workflow, failed }) =>
    failed.flatMap(({ runId, step, reason, source }) => [
      '',
      `Run ${runId} of ${workflow} failed at step ${step}:`,
      `  ${reason}`,
      ...(source === undefined ? [] : [`  started by  ${source.subject} (${source.stream} #${source.sequence})`]),
      `  kept as     ${deadLetters[runId] ?? 'no dead letter was found'}`,
    ]),
  );
}

function agreementLines(agreement: Closing['agreement']): string[] {
  if (agreement === undefined) return ['Streams and Prefect could not be compared.'];
  const { agree, total, notes } = agreement;
  return [`Streams and Prefect agree on ${agree} of ${total} flow runs.`, ...notes.map((note) => `  ${note}`)];
}

/** The whole summary as lines. */
export function summaryLines(summaries: readonly WorkflowSummary[], closing: Closing): string[] {
  const runs = summaries.reduce((sum, s) => sum + Object.values(s.outcomes).reduce((a, b) => a + b, 0), 0);
  const { cli, envFile, exampleRun, trace, prefectUi, make } = closing;
  return [
    `${closing.published} messages started ${runs} runs; all ended after ${formatDuration(closing.elapsedMs)}.`,
    "Times count from the storing of the message to the journal's entry.",
    '',
    ...workflowLines(summaries),
    ...failureLines(summaries, closing.deadLetters),
    '',
    ...agreementLines(closing.agreement),
    '',
    ...(prefectUi === undefined ? [] : [`Prefect   ${prefectUi}`]),
    ...(trace === undefined
      ? []
      : [`Jaeger    ${trace.url}`, `          (trace ${trace.traceId} of run ${trace.runId}, ${trace.spans} spans)`]),
    '',
    'Try next:',
    `  . ${envFile}`,
    `  ${cli} runs list`,
    `  ${cli} runs show ${exampleRun}`,
    `  ${cli} replay ${exampleRun}`,
    '',
    `Everything keeps running. Stop it with \`${make} down\`; another \`${make} demo\` uses what is there.`,
  ];
}
