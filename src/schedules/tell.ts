/** What an entry of a line means to metrics, log and trace. */
import { spanIdOf, traceIdOfRun } from '../kernel/index.ts';
import { formatTraceparent, parseTraceparent, type Telemetry, type TraceHeaders } from '../telemetry/index.ts';
import type { LineEntry, LineRef, LineStart, LineState } from './model/line.ts';
import { dueTime } from './times.ts';

/** Where the run's trace begins: what it was given, else a span of its own that follows from the run. */
export function traceOfStart(ref: LineRef, start: LineStart): TraceHeaders {
  if (start.trace !== undefined) {
    const { traceparent, tracestate } = start.trace;
    return tracestate === undefined ? { traceparent } : { traceparent, tracestate };
  }
  return { traceparent: formatTraceparent(traceIdOfRun(start.runId), scheduleSpan(ref, start.runId)) };
}

const scheduleSpan = ({ line }: LineRef, runId: string): string => spanIdOf(runId, `schedule/${line}`);

/** Called by the process whose append succeeded, once. @param now the process's clock, ms since the epoch */
export function tell({ metrics, tracer, log }: Telemetry, after: LineState, entry: LineEntry, now: number): void {
  const { workflow, line, spec } = after;
  // The lines of keys are too many for labels.
  const labels = { workflow, schedule: line.startsWith('=') ? '' : line };
  for (const t of entry.transitions) {
    if (t.type === 'RunSkipped') {
      metrics.count('millrace_schedule_times_total', { ...labels, outcome: 'skipped' });
      log.info({ workflow, line, run: t.runId }, `a start was skipped: ${t.reason}`);
    }
    if (t.type === 'TimesMissed') log.warn({ workflow, line, from: t.from, to: t.to }, `times missed: ${t.reason}`);
    if (t.type !== 'RunFired') continue;
    const { start } = t;
    metrics.count('millrace_schedule_times_total', { ...labels, outcome: start.why });
    const due = start.why === 'time' && spec !== undefined ? dueTime(workflow, spec, start.time) : entry.at;
    if (start.why === 'time') {
      metrics.observe('millrace_schedule_lag_seconds', Math.max(0, entry.at - due) / 1_000, { workflow });
    }
    const parent = parseTraceparent(start.trace?.traceparent);
    if (!tracer.enabled || parent !== undefined) continue;
    tracer.record({
      name: `schedule ${workflow}`,
      traceId: traceIdOfRun(start.runId),
      spanId: scheduleSpan(after, start.runId),
      parentSpanId: undefined,
      kind: 'producer',
      startMs: due,
      endMs: Math.max(due, now),
      attributes: {
        'millrace.workflow': workflow,
        'millrace.run': start.runId,
        'millrace.schedule': line,
        'millrace.scheduled_at': new Date(start.time).toISOString(),
      },
    });
  }
}
