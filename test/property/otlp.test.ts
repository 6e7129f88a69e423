/** Our OTLP against opentelemetry-js's own serializer, byte for byte. */
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Attributes, SpanRecord } from '../../src/telemetry/index.ts';
import { type Origin, SpanBatch } from '../../src/telemetry/otlp.ts';

type Theirs = Parameters<typeof ProtobufTraceSerializer.serializeRequest>[0][number];

const KINDS = ['internal', 'server', 'client', 'producer', 'consumer'] as const;

function hrTime(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1e6)];
}

/** What the SDK would hand to its serializer for the same spans. */
function theirs(spans: readonly SpanRecord[], { resource, scope, version }: Origin): Uint8Array {
  const from = { attributes: resource } as Theirs['resource'];
  const instrumentationScope = { name: scope, ...(version === undefined ? {} : { version }) };
  const all = spans.map((span): Theirs => {
    const { traceId, spanId, parentSpanId, name, startMs, endMs, attributes, error } = span;
    const endTime = hrTime(Math.max(startMs, endMs));
    return {
      ...{ name, kind: KINDS.indexOf(span.kind), startTime: hrTime(startMs), endTime, duration: [0, 0], ended: true },
      spanContext: () => ({ traceId, spanId, traceFlags: 1 }),
      ...(parentSpanId === undefined
        ? {}
        : { parentSpanContext: { traceId, spanId: parentSpanId, traceFlags: 1, isRemote: true } }),
      status: error === undefined ? { code: 0 } : { code: 2, message: error },
      ...{ attributes: attributes ?? {}, links: [], events: [], resource: from, instrumentationScope },
      ...{ droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: 0 },
    };
  });
  return ProtobufTraceSerializer.serializeRequest(all) ?? new Uint8Array();
}

const hex = (digits: number): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits }).map((all) => all.join(''));
/** Texts of every script, with halves of characters, and of every length that takes another byte to say. */
const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 30 }).map((codes) => String.fromCharCode(...codes)),
  fc
    .tuple(fc.constantFrom('a', 'é', '🌊'), fc.constantFrom(42, 43, 63, 64, 65, 127, 128, 5_000, 16_400))
    .map(([one, count]) => one.repeat(count)),
);
const value = fc.oneof(
  text,
  fc.boolean(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  fc.constantFrom(0, -0, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, -1, -(2 ** 63), 2 ** 63, 2 ** 62, Number.NaN),
);
const attributes: fc.Arbitrary<Attributes> = fc.dictionary(text, value, { maxKeys: 8 });
const time = fc.oneof(fc.nat(), fc.double({ min: 0, max: 4e12, noNaN: true }), fc.constantFrom(0, 999.9999999));
const span: fc.Arbitrary<SpanRecord> = fc.record(
  {
    ...{ name: text, traceId: hex(32), spanId: hex(16), parentSpanId: hex(16), kind: fc.constantFrom(...KINDS) },
    ...{ startMs: time, endMs: time, attributes, error: text },
  },
  { requiredKeys: ['name', 'traceId', 'spanId', 'kind', 'startMs', 'endMs'] },
);
const origin: fc.Arbitrary<Origin> = fc.record(
  { resource: attributes, scope: text, version: text },
  { requiredKeys: ['resource', 'scope'] },
);

describe('spans as OTLP', () => {
  test("are the bytes that opentelemetry-js's serializer makes, however small the piece of memory begun with", () => {
    fc.assert(
      fc.property(origin, fc.array(span, { minLength: 1, maxLength: 6 }), fc.nat({ max: 600 }), (from, spans, size) => {
        const batch = new SpanBatch(from, size);
        for (const one of spans) batch.add(one);
        expect(batch.count).toBe(spans.length);
        expect(Buffer.compare(batch.take(), theirs(spans, from))).toBe(0);
      }),
      { numRuns: 1_000 },
    );
  });

  test('a batch begins anew when it was taken, and what was taken stays as it is', () => {
    fc.assert(
      fc.property(origin, span, span, (from, one, other) => {
        const batch = new SpanBatch(from, 4_096);
        batch.add(one);
        const first = batch.take();
        expect([batch.count, batch.bytes]).toEqual([0, 0]);
        batch.add(other);
        expect(Buffer.compare(batch.take(), theirs([other], from))).toBe(0);
        expect(Buffer.compare(first, theirs([one], from))).toBe(0);
      }),
    );
  });
});
