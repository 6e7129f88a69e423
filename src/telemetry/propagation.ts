/** Trace context without an SDK: W3C Trace Context level 1 headers, and the ids that follow from a run. Pure. */
import { spanIdOf } from '../kernel/index.ts';
import type { TraceHeaders } from './port.ts';

const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

export interface ParsedTraceparent {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
}

/** The parts of a traceparent header; undefined when it is not a valid one (all-zero ids are not). */
export function parseTraceparent(text: string | undefined): ParsedTraceparent | undefined {
  const match = text === undefined ? null : TRACEPARENT.exec(text);
  if (match === null) return undefined;
  const [, traceId = '', spanId = '', flags = '00'] = match;
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent(traceId: string, spanId: string, sampled = true): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

/** The context in a message's headers, if it carries a valid one. */
export function contextFromHeaders(headers: Readonly<Record<string, string>>): TraceHeaders | undefined {
  const traceparent = headers['traceparent'];
  if (traceparent === undefined || parseTraceparent(traceparent) === undefined) return undefined;
  const tracestate = headers['tracestate'];
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate };
}

/** Headers for a context. */
export function headersOfContext(context: TraceHeaders): Record<string, string> {
  const { traceparent, tracestate } = context;
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate };
}

/** Span id of the whole run's span. */
export const runSpanId = (runId: string): string => spanIdOf(runId, 'run');
/** Span id of one attempt of a step. */
export const attemptSpanId = (runId: string, step: string, attempt: number): string =>
  spanIdOf(runId, `step/${step}/${attempt}`);

/** The context under which an attempt's worker, reconcile jobs and flow run put their spans. */
export function attemptContext(trace: TraceHeaders, runId: string, step: string, attempt: number): TraceHeaders {
  const parsed = parseTraceparent(trace.traceparent);
  const traceId = parsed?.traceId ?? NO_TRACE;
  const traceparent = formatTraceparent(traceId, attemptSpanId(runId, step, attempt), parsed?.sampled ?? true);
  return trace.tracestate === undefined ? { traceparent } : { traceparent, tracestate: trace.tracestate };
}
