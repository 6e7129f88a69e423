/** What the rest of the project may ask of telemetry. The adapters are tracing.otel.ts, metrics.prom.ts, logger.pino.ts. */

/** W3C trace context as it travels in headers. */
export interface TraceHeaders {
  readonly traceparent: string;
  readonly tracestate?: string | undefined;
}

export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** A finished span, for those that know its ids and times from the journal. Times in ms since the epoch. */
export interface SpanRecord {
  readonly name: string;
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  readonly parentSpanId?: string | undefined;
  readonly kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer';
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes?: Attributes;
  /** Set when what the span stands for failed. */
  readonly error?: string | undefined;
}

/** A span being measured. */
export interface LiveSpan {
  /** To put into outgoing headers: this span is the parent of what follows. */
  readonly context: TraceHeaders;
  set(attributes: Attributes): void;
  /** Ends the span once; later calls do nothing. */
  end(error?: string): void;
}

export interface Tracer {
  /** False when spans go nowhere: what makes them need not make them. */
  readonly enabled: boolean;
  /** Emits a span whose ids and times are already known. */
  record(span: SpanRecord): void;
  /** Starts a span now, under the parent (a new trace without one). */
  start(name: string, parent: TraceHeaders | undefined, kind: SpanRecord['kind'], attributes?: Attributes): LiveSpan;
  /** Sends what is buffered; never throws. */
  flush(): Promise<void>;
}

export type Labels = Readonly<Record<string, string>>;

export interface Metrics {
  count(name: string, labels?: Labels, by?: number): void;
  gauge(name: string, value: number, labels?: Labels): void;
  /** Observes a duration in seconds. */
  observe(name: string, seconds: number, labels?: Labels): void;
}

/** Structured log lines; the fields come first, the sentence last, as pino has it. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}

/** Where a process says what it does: spans, metrics, log lines. */
export interface Telemetry {
  readonly tracer: Tracer;
  readonly metrics: Metrics;
  readonly log: Logger;
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

/** Telemetry that goes nowhere: for unit tests and one-shot commands. */
export const noTelemetry: Telemetry = {
  tracer: {
    enabled: false,
    record() {},
    start: (_name, parent) => ({
      context: parent ?? { traceparent: '' },
      set() {},
      end() {},
    }),
    async flush() {},
  },
  metrics: { count() {}, gauge() {}, observe() {} },
  log: silent,
};
