import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type Logger, noTelemetry } from '../../../src/telemetry/index.ts';
import { otelTracer } from '../../../src/telemetry/tracing.otel.ts';
import { Collector, waitFor } from '../../kit/index.ts';
import { type OtlpSpan, readOtlp } from '../../kit/otlp.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
  vi.unstubAllEnvs();
});

interface TestCollector {
  readonly url: string;
  readonly spans: Collector<OtlpSpan>;
  readonly services: Set<unknown>;
  /** Of each request, whatever the answer. */
  readonly headers: IncomingHttpHeaders[];
}

/** A collector that answers with the statuses in turn, the last for ever; with 200 once a promise in their place has settled. */
async function collector(...statuses: (number | Promise<void>)[]): Promise<TestCollector> {
  const spans = new Collector<OtlpSpan>();
  const services = new Set<unknown>();
  const headers: IncomingHttpHeaders[] = [];
  server = createServer((request, response) => {
    headers.push(request.headers);
    const next = statuses.length > 1 ? statuses.shift() : statuses[0];
    void Promise.all([buffer(request), next]).then(([body, answer]) => {
      const status = answer ?? 200;
      if (status === 200) {
        const plain = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
        for (const { resource, spans: sent } of readOtlp(plain)) {
          services.add(resource['service.name']);
          sent.forEach(spans.add);
        }
      }
      response.writeHead(status, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, spans, services, headers };
}

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

function memoryLog(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const log: Logger = {
    ...noTelemetry.log,
    warn: (_, m) => lines.push(`warn ${m}`),
    info: (_, m) => lines.push(`info ${m}`),
  };
  return { log, lines };
}

describe('the tracer', () => {
  test('sends a recorded span with its ids, times, parent, kind, attributes and error', async () => {
    const { url, spans, services } = await collector(200);
    const tracer = otelTracer({ service: 'millrace-test', otlpUrl: `${url}/`, log: noTelemetry.log });
    tracer.record({
      name: 'step load',
      traceId: TRACE,
      spanId: '00f067aa0ba902b7',
      parentSpanId: PARENT,
      kind: 'consumer',
      startMs: 1_700_000_000_123,
      endMs: 1_700_000_001_500,
      attributes: { 'millrace.run': 'r1', attempt: 2 },
      error: 'it broke',
    });
    await tracer.flush();
    expect(spans.items).toEqual([
      {
        traceId: TRACE,
        spanId: '00f067aa0ba902b7',
        parentSpanId: PARENT,
        name: 'step load',
        kind: 5,
        startTimeUnixNano: 1_700_000_000_123_000_000n,
        endTimeUnixNano: 1_700_000_001_500_000_000n,
        attributes: { 'millrace.run': 'r1', attempt: 2n },
        status: { code: 2, message: 'it broke' },
      },
    ]);
    expect([...services]).toEqual(['millrace-test']);
    await tracer.close();
  });

  test('a live span continues its parent and hands its own context on; it ends once', async () => {
    const { url, spans } = await collector(200);
    const tracer = otelTracer({ service: 's', otlpUrl: url, log: noTelemetry.log });
    const live = tracer.start(
      'worker load',
      { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'a=b' },
      'internal',
      { a: 1 },
    );
    live.set({ b: true });
    live.end();
    live.end('too late');
    await tracer.close();
    const [sent, ...more] = spans.items;
    expect(more).toEqual([]);
    expect(sent).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, status: { code: 0 } });
    expect(sent?.attributes).toEqual({ a: 1n, b: true });
    expect(live.context).toEqual({ traceparent: `00-${TRACE}-${sent?.spanId}-01`, tracestate: 'a=b' });
  });

  test('without a parent begins a trace; under an unsampled parent sends nothing (T3)', async () => {
    const { url, spans } = await collector(200);
    const tracer = otelTracer({ service: 's', otlpUrl: url, log: noTelemetry.log });
    const silent = tracer.start('quiet', { traceparent: `00-${TRACE}-${PARENT}-00` }, 'internal');
    silent.end();
    tracer.start('root', undefined, 'internal').end();
    await tracer.close();
    expect(silent.context.traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
    expect(spans.items.map(({ name, parentSpanId }) => [name, parentSpanId])).toEqual([['root', undefined]]);
  });

  test('says once that the collector refuses and once that it is back, and never throws (T1, T2)', async () => {
    const { url } = await collector(400, 400, 200);
    const { log, lines } = memoryLog();
    const tracer = otelTracer({ service: 's', otlpUrl: url, log });
    for (let i = 0; i < 4; i++) {
      tracer.start(`span ${i}`, undefined, 'internal').end();
      await tracer.flush();
    }
    expect(lines).toEqual([
      'warn the trace collector does not take spans; they are dropped until it does (no effect on runs)',
      'info the trace collector takes spans again',
    ]);
    await tracer.close();
  });

  test("sends what OpenTelemetry's own settings say: headers, compression", async () => {
    vi.stubEnv('OTEL_EXPORTER_OTLP_HEADERS', 'authorization=Bearer%20x');
    vi.stubEnv('OTEL_EXPORTER_OTLP_TRACES_COMPRESSION', 'gzip');
    const { url, spans, headers } = await collector(200);
    const tracer = otelTracer({ service: 's', otlpUrl: url, log: noTelemetry.log });
    tracer.start('root', undefined, 'internal').end();
    await tracer.close();
    expect(spans.items.map(({ name }) => name)).toEqual(['root']);
    const wanted = { authorization: 'Bearer x', 'content-encoding': 'gzip', 'content-type': 'application/x-protobuf' };
    expect(headers).toEqual([expect.objectContaining(wanted)]);
  });

  test('tries again when the collector is busy, and loses nothing', async () => {
    const { url, spans, headers } = await collector(503, 200);
    const { log, lines } = memoryLog();
    const tracer = otelTracer({ service: 's', otlpUrl: url, log });
    tracer.start('kept', undefined, 'internal').end();
    await tracer.flush();
    expect(spans.items.map(({ name }) => name)).toEqual(['kept']);
    expect([headers.length, lines]).toEqual([2, []]);
    await tracer.close();
  });

  test('keeps 20,000 spans while the collector holds a request, drops what is more, and sends what it kept (T1)', async () => {
    let release: () => void = () => undefined;
    const { url, spans } = await collector(new Promise((resolve) => (release = resolve)), 200);
    const tracer = otelTracer({ service: 's', otlpUrl: url, log: noTelemetry.log, delayMs: 60_000 });
    for (let i = 0; i < 21_500; i++) {
      const spanId = (i + 1).toString(16).padStart(16, '0');
      tracer.record({ name: `span ${i}`, traceId: TRACE, spanId, kind: 'internal', startMs: i, endMs: i });
    }
    release();
    await tracer.flush();
    expect(spans.items.map(({ name }) => name)).toEqual(Array.from({ length: 20_000 }, (_, i) => `span ${i}`));
    tracer.start('after', undefined, 'internal').end();
    await tracer.close();
    expect(spans.items.at(-1)?.name).toBe('after');
  });

  test('a collector that is not there holds nobody up (T1)', async () => {
    const { url } = await collector(200);
    server?.close();
    const { log, lines } = memoryLog();
    const tracer = otelTracer({ service: 's', otlpUrl: url, log, delayMs: 1 });
    tracer.start('lost', undefined, 'internal').end();
    await tracer.close(); // bounded: the flush gives up after three seconds
    await waitFor('the warning', () => lines.length <= 1);
    expect(lines.length).toBeLessThanOrEqual(1);
  });
});
