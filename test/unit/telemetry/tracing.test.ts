import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type Logger, noTelemetry } from '../../../src/telemetry/index.ts';
import { otelTracer } from '../../../src/telemetry/tracing.otel.ts';
import { Collector, waitFor } from '../../kit/index.ts';

const span = z.object({
  traceId: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().optional(),
  name: z.string(),
  kind: z.number(),
  startTimeUnixNano: z.string(),
  endTimeUnixNano: z.string(),
  attributes: z.array(z.object({ key: z.string(), value: z.record(z.string(), z.unknown()) })),
  status: z.object({ code: z.number(), message: z.string().optional() }),
});
const exportSchema = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({
        attributes: z.array(z.object({ key: z.string(), value: z.object({ stringValue: z.string() }) })),
      }),
      scopeSpans: z.array(z.object({ spans: z.array(span) })),
    }),
  ),
});
type Span = z.infer<typeof span>;

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

/** A collector that answers with the statuses in turn, the last for ever. */
async function collector(
  ...statuses: number[]
): Promise<{ url: string; spans: Collector<Span>; services: Set<string> }> {
  const spans = new Collector<Span>();
  const services = new Set<string>();
  server = createServer((request, response) => {
    void text(request).then((body) => {
      const status = statuses.length > 1 ? statuses.shift() : statuses[0];
      if (status === 200) {
        for (const { resource, scopeSpans } of exportSchema.parse(JSON.parse(body)).resourceSpans) {
          services.add(resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '');
          for (const scope of scopeSpans) scope.spans.forEach(spans.add);
        }
      }
      response.writeHead(status ?? 200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, spans, services };
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
        startTimeUnixNano: '1700000000123000000',
        endTimeUnixNano: '1700000001500000000',
        attributes: [
          { key: 'millrace.run', value: { stringValue: 'r1' } },
          { key: 'attempt', value: { intValue: 2 } },
        ],
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
    expect(sent?.attributes.map(({ key }) => key)).toEqual(['a', 'b']);
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
