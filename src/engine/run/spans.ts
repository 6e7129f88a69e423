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
import { evolve, type LogEntry, type RunState, stepOf, type Transition } from '../model/index.ts';

const ENDINGS = {
  StepCompleted: 'completed',
  StepFailed: 'failed',
  StepRetryScheduled: 'retrying',
  StepCancelled: 'cancelled',
} as const;
type StepEnd = Extract<Transition, { type: keyof typeof ENDINGS }>;

function isStepEnd(t: Transition): t is StepEnd {
  return t.type in ENDINGS;
}

/** What ends with the entry: spans `step <name>` of attempts, `run <workflow>` of the run. */
export function spansOf(before: RunState, entry: Pick<LogEntry, 'at' | 'transitions'>): readonly SpanRecord[] {
  const spans: SpanRecord[] = [];
  let state = before;
  for (const transition of entry.transitions) {
    const next = evolve(state, transition, entry.at);
    const context = parseTraceparent(next.trace?.traceparent);
    if (context?.sampled === true) {
      const span = stepSpan(state, transition, entry.at, context) ?? runSpan(next, transition, entry.at, context);
      if (span !== undefined) spans.push(span);
    }
    state = next;
  }
  return spans;
}

function stepSpan(before: RunState, t: Transition, at: number, context: ParsedTraceparent): SpanRecord | undefined {
  if (!isStepEnd(t)) return undefined;
  const error = 'error' in t ? t.error : undefined;
  const step = stepOf(before, t.step);
  // The attempt of a step in backoff has ended already; what is cancelled is the waiting.
  if (step.status === 'backoff') return undefined;
  const same = step.attempt === t.attempt;
  return {
    name: `step ${t.step}`,
    traceId: context.traceId,
    spanId: attemptSpanId(before.runId, t.step, t.attempt),
    parentSpanId: runSpanId(before.runId),
    kind: 'internal',
    startMs: (same ? step.scheduledAt : undefined) ?? at,
    endMs: at,
    attributes: {
      'millrace.workflow': before.workflow,
      'millrace.run': before.runId,
      'millrace.step': t.step,
      'millrace.attempt': t.attempt,
      'millrace.outcome': ENDINGS[t.type],
      ...(error === undefined ? {} : { 'millrace.error.code': error.code }),
    },
    ...(error === undefined ? {} : { error: error.message }),
  };
}

function runSpan(after: RunState, t: Transition, at: number, context: ParsedTraceparent): SpanRecord | undefined {
  if (t.type !== 'RunCompleted' && t.type !== 'RunFailed' && t.type !== 'RunCancelled') return undefined;
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
