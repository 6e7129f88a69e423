/**
 * The tracer that sends OTLP over HTTP, as protobuf.
 *
 * Job: turn spans, with ids and times known from the journal or measured here, into requests (otlp.ts) and have them sent by
 * OpenTelemetry's own transport: its retries, timeouts and `OTEL_EXPORTER_OTLP_*` settings (headers, compression,
 * certificates). Boundary: no context manager, no instrumentation, no global registration; who the parent is travels in
 * our own headers.
 *   T1 nothing here throws or waits: while the collector is away spans are kept up to a limit, then dropped;
 *   T2 an outage of the collector is one warning when it begins and one line when it is over;
 *   T3 a span whose parent was not sampled is not sent.
 */
import { randomFillSync } from 'node:crypto';
import { context } from '@opentelemetry/api';
import { suppressTracing } from '@opentelemetry/core';
import { OTLPExporterBase } from '@opentelemetry/otlp-exporter-base';
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from '@opentelemetry/otlp-exporter-base/node-http';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { SpanBatch } from './otlp.ts';
import type { Attributes, LiveSpan, Logger, SpanRecord, TraceHeaders, Tracer } from './port.ts';
import { formatTraceparent, parseTraceparent } from './propagation.ts';

/** Spans kept: more than a second of full load; beyond it they are dropped (T1). */
const QUEUE = 20_000;
/** A request is closed at as many spans or bytes. Most spans take less than 256 bytes. */
const BATCH = 1_000;
const BATCH_BYTES = 256 * 1_024;
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

/** A request and the spans in it. */
interface Sealed {
  readonly bytes: Uint8Array;
  readonly spans: number;
}

/** OpenTelemetry's transport for requests that are encoded already. */
function transport(url: string): OTLPExporterBase<Sealed> {
  const headers = { 'Content-Type': 'application/x-protobuf' };
  const options = convertLegacyHttpOptions({ url, timeoutMillis: EXPORT_TIMEOUT_MS }, 'TRACES', 'v1/traces', headers);
  const serializer = {
    serializeRequest: ({ bytes }: Sealed) => bytes,
    deserializeResponse: ProtobufTraceSerializer.deserializeResponse,
  };
  const counted = { name: 'span', countItems: ({ spans }: Sealed) => spans } as const;
  return new OTLPExporterBase(
    createOtlpHttpExportDelegate(options, serializer, 'otlp_http_span_exporter', counted, undefined),
  );
}

/** Random ids of as many bytes, in hex. */
const pool = Buffer.alloc(4_096);
let used = pool.length;
function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString('hex', used - bytes, used);
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

/** Spans gathered into requests that are sent one after another. */
class Sender {
  readonly #url: string;
  readonly #log: Logger;
  readonly #delayMs: number;
  readonly #transport: OTLPExporterBase<Sealed>;
  readonly #batch: SpanBatch;
  #timer: NodeJS.Timeout | undefined;
  /** Settles when all requests so far are over; never rejects. */
  #sent: Promise<void> = Promise.resolve();
  /** Spans sealed and not sent. */
  #waiting = 0;
  #away = false;
  #closed = false;

  constructor({ service, otlpUrl, log, version, delayMs }: OtelOptions) {
    this.#url = `${otlpUrl.replace(/\/+$/, '')}/v1/traces`;
    this.#log = log;
    this.#delayMs = delayMs ?? 500;
    this.#transport = transport(this.#url);
    const resource = { 'service.name': service, ...(version === undefined ? {} : { 'service.version': version }) };
    this.#batch = new SpanBatch({ resource, scope: 'millrace', version }, BATCH_BYTES + 4_096);
  }

  add(span: SpanRecord): void {
    if (this.#closed || this.#waiting + this.#batch.count >= QUEUE) return; // dropped (T1)
    this.#batch.add(span);
    if (this.#batch.count >= BATCH || this.#batch.bytes >= BATCH_BYTES) this.#seal();
    else this.#timer ??= setTimeout(() => this.#seal(), this.#delayMs).unref();
  }

  /** Settles when what was added is sent or given up; never rejects. */
  flush(): Promise<void> {
    this.#seal();
    return this.#sent;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
    await this.#transport.shutdown();
  }

  #seal(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const spans = this.#batch.count;
    if (spans === 0) return;
    const sealed: Sealed = { bytes: this.#batch.take(), spans };
    this.#waiting += spans;
    this.#sent = this.#sent.then(() => this.#send(sealed));
  }

  #send(sealed: Sealed): Promise<void> {
    return new Promise((resolve) => {
      const over = (error: string | undefined): void => {
        this.#waiting -= sealed.spans;
        this.#told(error, sealed.spans);
        resolve();
      };
      try {
        // The service's own instrumentation, if it has any, must not trace what sends traces.
        context.with(suppressTracing(context.active()), () =>
          this.#transport.export(sealed, ({ code, error }) =>
            over(code === 0 ? undefined : (error?.message ?? 'refused')),
          ),
        );
      } catch (error) {
        over(error instanceof Error ? error.message : 'failed');
      }
    });
  }

  /** Says once that the collector is away, and once that it is back (T2). */
  #told(error: string | undefined, spans: number): void {
    const url = this.#url;
    const away = error !== undefined;
    if (away && !this.#away) {
      this.#log.warn(
        { url, error, spans },
        'the trace collector does not take spans; they are dropped until it does (no effect on runs)',
      );
    } else if (!away && this.#away) this.#log.info({ url }, 'the trace collector takes spans again');
    this.#away = away;
  }
}

class OtlpTracer implements OtelTracer {
  readonly enabled = true;
  readonly #sender: Sender;

  constructor(options: OtelOptions) {
    this.#sender = new Sender(options);
  }

  record(span: SpanRecord): void {
    this.#sender.add(span);
  }

  start(
    name: string,
    parent: TraceHeaders | undefined,
    kind: SpanRecord['kind'],
    attributes: Attributes = {},
  ): LiveSpan {
    const from = parseTraceparent(parent?.traceparent);
    const traceId = from?.traceId ?? randomHex(16);
    const spanId = randomHex(8);
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
        if (!sampled) return; // T3
        this.#sender.add({ name, traceId, spanId, parentSpanId, kind, startMs, endMs, attributes: all, error });
      },
    };
  }

  flush(): Promise<void> {
    return atMost(this.#sender.flush(), FLUSH_MS);
  }

  close(): Promise<void> {
    return atMost(this.#sender.close(), FLUSH_MS);
  }
}

/** A tracer that sends to a collector. */
export function otelTracer(options: OtelOptions): OtelTracer {
  return new OtlpTracer(options);
}
