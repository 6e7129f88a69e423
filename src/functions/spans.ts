/** Spans of a durable function's run and its attempts: recorded when the entry that ends them is stored, never on replay. */
import type { Failure } from '../engine/index.ts';
import { spanIdOf, traceIdOfRun } from '../kernel/index.ts';
import {
  attemptSpanId,
  formatTraceparent,
  type ParsedTraceparent,
  parseTraceparent,
  runSpanId,
  type SpanRecord,
  type TraceHeaders,
} from '../telemetry/index.ts';
import type { Runtime } from './runtime.ts';
import type { Batch } from './tail.ts';

export class ExecutionSpans {
  readonly #execution: Runtime;
  #context: ParsedTraceparent | undefined;
  #startedAt = 0;

  constructor(execution: Runtime) {
    this.#execution = execution;
    const { trace, startedAt } = execution.recalled.state;
    if (startedAt !== undefined) this.begin(trace?.traceparent, startedAt);
  }

  /** The run's trace context, derived from its id when nobody gave one, and its start. */
  begin(traceparent: string | undefined, startedAt: number): void {
    this.#startedAt = startedAt;
    const context = parseTraceparent(traceparent) ?? derivedContext(this.#execution.run.runId);
    this.#context = context.sampled ? context : undefined;
  }

  /** An attempt ends with the batch. */
  attempt(batch: Batch, step: string, attempt: number, startMs: number, outcome: string, error?: Failure): void {
    if (this.#context === undefined) return;
    const { workflow, runId } = this.#execution.run;
    batch.spans.push({
      name: `step ${step}`,
      traceId: this.#context.traceId,
      spanId: attemptSpanId(runId, step, attempt),
      parentSpanId: runSpanId(runId),
      kind: 'internal',
      startMs,
      endMs: this.#execution.ports.now(),
      attributes: {
        'millrace.workflow': workflow,
        'millrace.run': runId,
        'millrace.step': step,
        'millrace.attempt': attempt,
        'millrace.outcome': outcome,
        ...(error === undefined ? {} : { 'millrace.error.code': error.code }),
      },
      ...(error === undefined ? {} : { error: error.message }),
    });
  }

  stored({ spans, transitions, at }: Batch): void {
    if (this.#context === undefined) return;
    const { tracer } = this.#execution.ports.telemetry;
    for (const span of spans) tracer.record(span);
    const last = transitions.at(-1);
    if (last?.type !== 'RunCompleted' && last?.type !== 'RunFailed' && last?.type !== 'RunCancelled') return;
    tracer.record(this.#run(at, last.type === 'RunFailed' ? last.error : undefined, OUTCOMES[last.type]));
  }

  #run(at: number, error: Failure | undefined, outcome: string): SpanRecord {
    const { workflow, runId } = this.#execution.run;
    return {
      name: `run ${workflow}`,
      traceId: this.#context?.traceId ?? '',
      spanId: runSpanId(runId),
      parentSpanId: this.#context?.spanId,
      kind: 'internal',
      startMs: this.#startedAt,
      endMs: at,
      attributes: {
        'millrace.workflow': workflow,
        'millrace.run': runId,
        'millrace.outcome': outcome,
        ...(error === undefined ? {} : { 'millrace.error.code': error.code }),
      },
      ...(error === undefined ? {} : { error: error.message }),
    };
  }
}

const derivedContext = (runId: string): ParsedTraceparent => ({
  traceId: traceIdOfRun(runId),
  spanId: spanIdOf(runId, 'origin'),
  sampled: true,
});

/** The run's trace, derived from its id when nobody gave one. */
export function traceOf(runId: string, given: TraceHeaders | undefined): TraceHeaders {
  if (parseTraceparent(given?.traceparent) !== undefined && given !== undefined) return given;
  const { traceId, spanId } = derivedContext(runId);
  return { traceparent: formatTraceparent(traceId, spanId) };
}

const OUTCOMES = { RunCompleted: 'completed', RunFailed: 'failed', RunCancelled: 'cancelled' } as const;
