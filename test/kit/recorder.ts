/** Telemetry that remembers. */
import { noTelemetry, type SpanRecord, type Telemetry } from '../../src/telemetry/index.ts';

export interface Recorder {
  readonly telemetry: Telemetry;
  readonly spans: SpanRecord[];
  /** Sum of a counter over all labels, or over those that match. */
  counted(name: string, labels?: Readonly<Record<string, string>>): number;
  readonly warnings: string[];
}

export function recorder(): Recorder {
  const spans: SpanRecord[] = [];
  const counts: { name: string; labels: Readonly<Record<string, string>>; by: number }[] = [];
  const warnings: string[] = [];
  const log = {
    ...noTelemetry.log,
    warn: (_fields: object, message: string) => void warnings.push(message),
    error: (_fields: object, message: string) => void warnings.push(message),
    child: () => log,
  };
  return {
    spans,
    warnings,
    counted: (name, labels = {}) =>
      counts
        .filter((count) => count.name === name)
        .filter((count) => Object.entries(labels).every(([key, value]) => count.labels[key] === value))
        .reduce((sum, { by }) => sum + by, 0),
    telemetry: {
      log,
      tracer: { ...noTelemetry.tracer, enabled: true, record: (span) => void spans.push(span) },
      metrics: {
        ...noTelemetry.metrics,
        count: (name, labels = {}, by = 1) => void counts.push({ name, labels, by }),
      },
    },
  };
}
