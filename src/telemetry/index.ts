export { createTelemetry, type ProcessTelemetry, type TelemetryOptions } from './create.ts';
export { METRICS, type MetricDeclaration, metricName } from './names.ts';
export {
  type Attributes,
  type Labels,
  type LiveSpan,
  type Logger,
  type Metrics,
  noTelemetry,
  type SpanRecord,
  type Telemetry,
  type TraceHeaders,
  type Tracer,
} from './port.ts';
export {
  attemptContext,
  attemptSpanId,
  contextFromHeaders,
  formatTraceparent,
  headersOfContext,
  type ParsedTraceparent,
  parseTraceparent,
  runSpanId,
} from './propagation.ts';
