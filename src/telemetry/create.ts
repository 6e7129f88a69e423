/** One process's telemetry. The adapters load on demand, so that a one-shot command does not wait for SDKs it never uses. */
import { type Logger, noTelemetry, type Telemetry } from './port.ts';

/** How {@link createTelemetry} reports. */
export interface TelemetryOptions {
  /** `service.name` in traces, `service` in logs and metrics: `millrace-controller`, `millrace-worker`, ... */
  readonly service: string;
  readonly version?: string;
  /** Base of the OTLP/HTTP receiver; without it no traces are sent. */
  readonly otlpUrl?: string | undefined;
  /** One of pino's levels. */
  readonly logLevel: string;
  /** Instead of the process's own log. */
  readonly log?: Logger;
}

/** Telemetry of a process, and what its health server and its end need of it. */
export interface ProcessTelemetry extends Telemetry {
  /** The metrics in Prometheus' text format. */
  metricsText(): Promise<string>;
  /** Sends what is buffered (3 s at most) and stops; never throws. */
  close(): Promise<void>;
}

/** Tracer over OTLP (if there is a receiver), metrics for Prometheus, log on stderr. */
export async function createTelemetry(options: TelemetryOptions): Promise<ProcessTelemetry> {
  const { service, otlpUrl, version } = options;
  const [{ pinoLogger }, { promMetrics }] = await Promise.all([
    import('./logger.pino.ts'),
    import('./metrics.prom.ts'),
  ]);
  const log = options.log ?? pinoLogger({ service, level: options.logLevel });
  const metrics = promMetrics({ service });
  if (version !== undefined) metrics.gauge('millrace_info', 1, { version });
  const base = { metrics, log, metricsText: () => metrics.text() };
  if (otlpUrl === undefined) return { ...base, tracer: noTelemetry.tracer, close: async () => undefined };
  const { otelTracer } = await import('./tracing.otel.ts');
  const tracer = otelTracer({ service, otlpUrl, log, ...(version === undefined ? {} : { version }) });
  return { ...base, tracer, close: () => tracer.close() };
}
