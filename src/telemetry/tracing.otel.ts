/**
 * The tracer over OpenTelemetry's batching exporter (OTLP over HTTP).
 *
 * Job: turn spans, with ids and times known from the journal or measured here, into OTLP. Boundary: no context manager, no
 * instrumentation, no global registration; who the parent is travels in our own headers.
 *   T1 nothing here throws or waits: while the collector is away spans are kept up to a limit, then dropped;
 *   T2 an outage of the collector is one warning when it begins and one line when it is over;
 *   T3 a span whose parent was not sampled is not sent.
 */
import { type SpanContext, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  RandomIdGenerator,
  type ReadableSpan,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-base';
import { ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from '@opentelemetry/semantic-conventions';
import type { Attributes, LiveSpan, Logger, SpanRecord, TraceHeaders, Tracer } from './port.ts';
import { formatTraceparent, parseTraceparent } from './propagation.ts';

/** More than a second of full load; beyond it spans are dropped (T1). */
const QUEUE = 20_000;
const EXPORT_TIMEOUT_MS = 10_000;
/** Longest wait of a flush: a collector that hangs must not hold up the end of a process. */
const FLUSH_MS = 3_000;

export interface OtelOptions {
  /** Value of `service.name`, e.g. `millrace-controller`. */
  readonly service: string;
  readonly version?: string;
  /** Base of the OTLP/HTTP receiver; spans go to `<otlpUrl>/v1/traces`. */
  readonly otlpUrl: string;
  readonly log: Logger;
  /** How long spans are gathered before they are sent, in ms. */
  readonly delayMs?: number;
}

export interface OtelTracer extends Tracer {
  /** Sends what is buffered and stops; never throws. */
  close(): Promise<void>;
}

const KINDS: Readonly<Record<SpanRecord['kind'], SpanKind>> = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

type HrTime = [number, number];

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1e6)];
}

/** Says once that the collector is away, and once that it is back (T2). */
function watched(exporter: SpanExporter, log: Logger, url: string): SpanExporter {
  let away = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = result.error !== undefined || result.code !== 0;
        if (failed && !away) {
          log.warn(
            { url, error: result.error?.message ?? 'refused', spans: spans.length },
            'the trace collector does not take spans; they are dropped until it does (no effect on runs)',
          );
        } else if (!failed && away) log.info({ url }, 'the trace collector takes spans again');
        away = failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}

/** Settles with the work, or after `ms`; never rejects. */
async function atMost(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(() => undefined), late]);
  clearTimeout(timer);
}

class OtlpTracer implements OtelTracer {
  readonly enabled = true;
  readonly #processor: BatchSpanProcessor;
  readonly #resource: Resource;
  readonly #scope: ReadableSpan['instrumentationScope'];
  readonly #ids = new RandomIdGenerator();

  constructor(options: OtelOptions) {
    const { service, otlpUrl, log, version } = options;
    this.#resource = resourceFromAttributes({
      [ATTR_SERVICE_NAME]: service,
      ...(version === undefined ? {} : { [ATTR_SERVICE_VERSION]: version }),
    });
    this.#scope = { name: 'millrace', ...(version === undefined ? {} : { version }) };
    const url = `${otlpUrl.replace(/\/+$/, '')}/v1/traces`;
    const exporter = watched(new OTLPTraceExporter({ url, timeoutMillis: EXPORT_TIMEOUT_MS }), log, url);
    this.#processor = new BatchSpanProcessor(exporter, {
      maxQueueSize: QUEUE,
      maxExportBatchSize: 1_000,
      scheduledDelayMillis: options.delayMs ?? 500,
      exportTimeoutMillis: EXPORT_TIMEOUT_MS + 1_000,
    });
  }

  record(span: SpanRecord): void {
    this.#emit(span, true);
  }

  start(
    name: string,
    parent: TraceHeaders | undefined,
    kind: SpanRecord['kind'],
    attributes: Attributes = {},
  ): LiveSpan {
    const from = parseTraceparent(parent?.traceparent);
    const traceId = from?.traceId ?? this.#ids.generateTraceId();
    const spanId = this.#ids.generateSpanId();
    const sampled = from?.sampled ?? true;
    const startMs = Date.now();
    const ticks = performance.now(); // steady: the wall clock may be set while the span is open
    const traceparent = formatTraceparent(traceId, spanId, sampled);
    let all: Attributes = attributes;
    let ended = false;
    return {
      context: parent?.tracestate === undefined ? { traceparent } : { traceparent, tracestate: parent.tracestate },
      set: (more) => void (all = { ...all, ...more }),
      end: (error) => {
        if (ended) return;
        ended = true;
        const endMs = startMs + (performance.now() - ticks);
        const parentSpanId = from?.spanId;
        this.#emit({ name, traceId, spanId, parentSpanId, kind, startMs, endMs, attributes: all, error }, sampled);
      },
    };
  }

  flush(): Promise<void> {
    return atMost(this.#processor.forceFlush(), FLUSH_MS);
  }

  close(): Promise<void> {
    return atMost(this.#processor.shutdown(), FLUSH_MS);
  }

  #emit(span: SpanRecord, sampled: boolean): void {
    const { traceId, spanId, parentSpanId, startMs, error } = span;
    const traceFlags = sampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
    const own: SpanContext = { traceId, spanId, traceFlags };
    const endMs = Math.max(startMs, span.endMs);
    this.#processor.onEnd({
      name: span.name,
      kind: KINDS[span.kind],
      spanContext: () => own,
      ...(parentSpanId === undefined
        ? {}
        : { parentSpanContext: { traceId, traceFlags, spanId: parentSpanId, isRemote: true } }),
      startTime: hrTime(startMs),
      endTime: hrTime(endMs),
      duration: hrTime(endMs - startMs),
      status: error === undefined ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: error },
      attributes: { ...span.attributes },
      links: [],
      events: [],
      ended: true,
      resource: this.#resource,
      instrumentationScope: this.#scope,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    });
  }
}

/** A tracer that sends to a collector. */
export function otelTracer(options: OtelOptions): OtelTracer {
  return new OtlpTracer(options);
}
