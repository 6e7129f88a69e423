/**
 * Spans as OTLP protobuf (`ExportTraceServiceRequest` of opentelemetry-proto 1.x), byte for byte what opentelemetry-js's
 * serializer makes of them. Pure.
 *
 * Each span is written once, when it is recorded, into the bytes of the request that will carry it: no object of it is kept
 * (docs/adr/0019-spans-encoded-at-once.md). Every message with a length in front is written first and moved by the bytes
 * that its length needs beyond those reserved, which is seldom any.
 */
import type { Attributes, SpanRecord } from './port.ts';

/** Protobuf's wire types. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;
/** Any character is 3 bytes at most for each of its UTF-16 units. */
const UTF8_MAX = 3;
/** Up to here a loop is faster than a call into the runtime. */
const SHORT = 64;
/** Flags of a sampled span, whether its parent is remote being known; and of one whose parent is. */
const FLAGS_ROOT = 0x101;
const FLAGS_CHILD = 0x301;
const ERROR = 2;
const KINDS: Readonly<Record<SpanRecord['kind'], number>> = {
  internal: 1,
  server: 2,
  client: 3,
  producer: 4,
  consumer: 5,
};

const tag = (field: number, type: number): number => (field << 3) | type;

/** Bytes of protobuf being written; grows by itself. */
class Writer {
  bytes: Buffer;
  at = 0;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size);
  }

  #room(more: number): void {
    if (this.at + more <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.at + more, this.bytes.length * 2));
    this.bytes.copy(grown); // all of it: a length may be written before what follows it
    this.bytes = grown;
  }

  varint(value: number): void {
    this.#room(10);
    if (value >= 0 && value <= 0x7fff_ffff) {
      let rest = value;
      for (; rest > 0x7f; rest >>>= 7) this.bytes[this.at++] = (rest & 0x7f) | 0x80;
      this.bytes[this.at++] = rest;
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value)); // a negative one is ten bytes of two's complement
    for (; rest > 0x7fn; rest >>= 7n) this.bytes[this.at++] = Number(rest & 0x7fn) | 0x80;
    this.bytes[this.at++] = Number(rest);
  }

  /** A message with its length in front; gives where it begins, for {@link end}. */
  begin(field: number, reserved: 1 | 2 = 1): number {
    this.varint(tag(field, BYTES));
    this.#room(reserved);
    this.at += reserved;
    return this.at;
  }

  end(begun: number, reserved: 1 | 2 = 1): void {
    const length = this.at - begun;
    const needed = sizeOf(length);
    if (needed !== reserved) {
      this.#room(needed);
      this.bytes.copyWithin(begun - reserved + needed, begun, this.at);
    }
    this.at = begun - reserved;
    this.varint(length);
    this.at += length;
  }

  text(field: number, text: string): void {
    this.varint(tag(field, BYTES));
    if (text.length <= SHORT && this.#ascii(text)) return;
    this.varint(Buffer.byteLength(text));
    this.#room(text.length * UTF8_MAX);
    this.at += this.bytes.write(text, this.at, 'utf8');
  }

  /** Writes a short text if it is ASCII; false, and nothing written, otherwise. */
  #ascii(text: string): boolean {
    this.#room(1 + text.length);
    const { bytes } = this;
    const from = this.at + 1;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) return false;
      bytes[from + i] = code;
    }
    bytes[this.at] = text.length;
    this.at = from + text.length;
    return true;
  }

  hex(field: number, digits: string): void {
    const message = this.begin(field);
    this.#room(digits.length);
    this.at += this.bytes.write(digits, this.at, 'hex');
    this.end(message);
  }

  number(field: number, value: number): void {
    this.varint(tag(field, VARINT));
    this.varint(value);
  }

  fixed32(field: number, value: number): void {
    this.varint(tag(field, FIXED32));
    this.#room(4);
    this.at = this.bytes.writeUInt32LE(value, this.at);
  }

  double(field: number, value: number): void {
    this.varint(tag(field, FIXED64));
    this.#room(8);
    this.at = this.bytes.writeDoubleLE(value, this.at);
  }

  /** Ms since the epoch as nanoseconds: more digits than a number holds, so in two parts. */
  time(field: number, ms: number): void {
    this.varint(tag(field, FIXED64));
    this.#room(8);
    const seconds = Math.floor(ms / 1_000);
    const nanos = Math.round((ms - seconds * 1_000) * 1e6);
    const upper = Math.floor(seconds / 0x1_0000) * 1e9;
    const lower = (upper % 0x1_0000) * 0x1_0000 + (seconds % 0x1_0000) * 1e9 + nanos;
    this.at = this.bytes.writeUInt32LE(lower >>> 0, this.at);
    const high = Math.floor(upper / 0x1_0000) + Math.floor(lower / 0x1_0000_0000);
    this.at = this.bytes.writeUInt32LE(high >>> 0, this.at);
  }

  attributes(field: number, attributes: Attributes): void {
    for (const key of Object.keys(attributes)) {
      const pair = this.begin(field);
      this.text(1, key);
      const value = this.begin(2);
      this.#value(attributes[key]);
      this.end(value);
      this.end(pair);
    }
  }

  #value(value: Attributes[string] | undefined): void {
    if (typeof value === 'string') this.text(1, value);
    else if (typeof value === 'boolean') this.number(2, value ? 1 : 0);
    else if (typeof value !== 'number')
      return; // no value: OTLP's empty one
    else if (Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63) this.number(3, value);
    else this.double(4, value);
  }
}

/** Bytes that a varint takes. */
function sizeOf(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** A sampled span as a member of `ScopeSpans`. A span ends when it began at the earliest. */
function writeSpan(to: Writer, span: SpanRecord): void {
  const { traceId, spanId, parentSpanId, name, startMs, attributes, error } = span;
  const message = to.begin(2, 2);
  to.hex(1, traceId);
  to.hex(2, spanId);
  if (parentSpanId !== undefined) to.hex(4, parentSpanId);
  to.text(5, name);
  to.number(6, KINDS[span.kind]);
  to.time(7, startMs);
  to.time(8, Math.max(startMs, span.endMs));
  if (attributes !== undefined) to.attributes(9, attributes);
  // What was dropped: nothing, of attributes, events and links.
  for (const field of [10, 12, 14]) to.number(field, 0);
  const status = to.begin(15);
  if (error !== undefined && error !== '') to.text(2, error);
  to.number(3, error === undefined ? 0 : ERROR);
  to.end(status);
  to.fixed32(16, parentSpanId === undefined ? FLAGS_ROOT : FLAGS_CHILD);
  to.end(message, 2);
}

export interface Origin {
  /** `service.name` and what else says where spans come from. */
  readonly resource: Attributes;
  /** The instrumentation scope. */
  readonly scope: string;
  readonly version?: string | undefined;
}

/** Spans of one process on their way into requests. */
export class SpanBatch {
  readonly #resource: Buffer;
  readonly #scope: Buffer;
  readonly #size: number;
  #spans: Writer | undefined;
  #count = 0;

  /** @param size bytes to begin a request with; it grows when they do not do */
  constructor({ resource, scope, version }: Origin, size: number) {
    this.#size = size;
    const writer = new Writer(256);
    const about = writer.begin(1);
    writer.attributes(1, resource);
    writer.number(2, 0);
    writer.end(about);
    this.#resource = Buffer.from(writer.bytes.subarray(0, writer.at));
    writer.at = 0;
    const instrument = writer.begin(1);
    writer.text(1, scope);
    if (version !== undefined && version !== '') writer.text(2, version);
    writer.end(instrument);
    this.#scope = Buffer.from(writer.bytes.subarray(0, writer.at));
  }

  /** Spans in it. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of the spans in it. */
  get bytes(): number {
    return this.#spans === undefined ? 0 : this.#spans.at - this.#room;
  }

  add(span: SpanRecord): void {
    if (this.#spans === undefined) {
      this.#spans = new Writer(this.#size);
      this.#spans.at = this.#room; // what comes in front is known when the last span is in
    }
    writeSpan(this.#spans, span);
    this.#count++;
  }

  /** The request that carries what was added; the batch is empty afterwards. */
  take(): Uint8Array {
    const spans = this.#spans ?? new Writer(this.#room);
    if (this.#spans === undefined) spans.at = this.#room;
    this.#spans = undefined;
    this.#count = 0;
    const [resource, scope, end] = [this.#resource, this.#scope, spans.at];
    const scopeLength = scope.length + end - this.#room;
    const resourceLength = resource.length + 1 + sizeOf(scopeLength) + scopeLength;
    const start = this.#room - (2 + sizeOf(resourceLength) + sizeOf(scopeLength) + resource.length + scope.length);
    spans.at = start;
    spans.varint(tag(1, BYTES));
    spans.varint(resourceLength);
    spans.at += resource.copy(spans.bytes, spans.at);
    spans.varint(tag(2, BYTES));
    spans.varint(scopeLength);
    scope.copy(spans.bytes, spans.at);
    return spans.bytes.subarray(start, end);
  }

  /** In front of the spans: the resource, the scope, two tags and two lengths. */
  get #room(): number {
    return this.#resource.length + this.#scope.length + 12;
  }
}
