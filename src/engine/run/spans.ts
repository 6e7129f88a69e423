/**
 * Spans of a run and of its attempts, made from the journal alone: the process that commits the entry that ends them
 * records them, with the journal's times. Pure.
 */
import {
  attemptSpanId,
  type ParsedTraceparent,
  parseTraceparent,
  runSpanId,
  type SpanRecord,
} from '../../telemetry/index.ts';
import {
  itemAt,
  type LogEntry,
  type RunState,
  StateDraft,
  type StepState,
  stepOf,
  type Transition,
} from '../model/index.ts';

const ENDINGS = {
  StepCompleted: 'completed',
  StepFailed: 'failed',
  StepRetryScheduled: 'retrying',
  StepCancelled: 'cancelled',
  StepPaused: 'paused',
} as const;
type StepEnd = Extract<Transition, { type: keyof typeof ENDINGS }>;

type RunEnd = Extract<Transition, { type: 'RunCompleted' | 'RunFailed' | 'RunCancelled' }>;

function isStepEnd(t: Transition): t is StepEnd {
  return t.type in ENDINGS;
}

function isRunEnd(t: Transition): t is RunEnd {
  return t.type === 'RunCompleted' || t.type === 'RunFailed' || t.type === 'RunCancelled';
}

const isEnd = (t: Transition): t is StepEnd | RunEnd => isStepEnd(t) || isRunEnd(t);

/** What ends with the entry: spans `step <name>` of attempts, `run <workflow>` of the run. */
export function spansOf(before: RunState, entry: Pick<LogEntry, 'at' | 'transitions'>): readonly SpanRecord[] {
  if (!entry.transitions.some(isEnd)) return [];
  const spans: SpanRecord[] = [];
  const draft = new StateDraft(before);
  for (const t of entry.transitions) {
    const was = isStepEnd(t) ? stepOf(draft.state, t.step) : undefined; // a draft replaces it, and leaves this one as it was
    draft.apply(t, entry.at);
    if (!isEnd(t)) continue;
    const context = parseTraceparent(draft.state.trace?.traceparent);
    if (context?.sampled !== true) continue;
    const { state } = draft;
    const span = isRunEnd(t) ? runSpan(state, t, entry.at, context) : stepSpan(state, was, t, entry.at, context);
    if (span !== undefined) spans.push(span);
  }
  return spans;
}

/** The span of an item hangs below its step's. */
function parentOf(run: RunState, step: string): string {
  const item = run.items === undefined ? undefined : itemAt(step);
  if (item === undefined) return runSpanId(run.runId);
  return attemptSpanId(run.runId, item.step, stepOf(run, item.step).attempt);
}

function stepSpan(
  run: RunState,
  step: StepState | undefined,
  t: StepEnd,
  at: number,
  context: ParsedTraceparent,
): SpanRecord | undefined {
  const error = 'error' in t ? t.error : undefined;
  // The attempt of a step in backoff or paused has ended already; what is cancelled is the waiting.
  if (step === undefined || step.status === 'backoff' || step.status === 'paused') return undefined;
  const same = step.attempt === t.attempt;
  return {
    name: `step ${t.step}`,
    traceId: context.traceId,
    spanId: attemptSpanId(run.runId, t.step, t.attempt),
    parentSpanId: parentOf(run, t.step),
    kind: 'internal',
    startMs: (same ? step.scheduledAt : undefined) ?? at,
    endMs: at,
    attributes: {
      'millrace.workflow': run.workflow,
      'millrace.run': run.runId,
      'millrace.step': t.step,
      'millrace.attempt': t.attempt,
      'millrace.outcome': ENDINGS[t.type],
      ...(error === undefined ? {} : { 'millrace.error.code': error.code }),
    },
    ...(error === undefined ? {} : { error: error.message }),
  };
}

function runSpan(after: RunState, t: RunEnd, at: number, context: ParsedTraceparent): SpanRecord {
  return {
    name: `run ${after.workflow}`,
    traceId: context.traceId,
    spanId: runSpanId(after.runId),
    parentSpanId: context.spanId,
    kind: 'internal',
    startMs: after.startedAt ?? at,
    endMs: at,
    attributes: {
      'millrace.workflow': after.workflow,
      'millrace.run': after.runId,
      'millrace.outcome': after.status,
      'millrace.retries': after.retries,
      ...(t.type === 'RunFailed' ? { 'millrace.error.code': t.error.code } : {}),
    },
    ...(t.type === 'RunFailed' ? { error: t.error.message } : {}),
  };
}
