/** Reads OTLP requests as a collector would, as far as tests look at them. Knows nothing of how they were written. */

export interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: bigint;
  readonly endTimeUnixNano: bigint;
  readonly attributes: Readonly<Record<string, string | boolean | bigint | number>>;
  readonly status: { readonly code: number; readonly message: string };
}

type Value = bigint | Buffer;
type Fields = ReadonlyMap<number, readonly Value[]>;

function varint(bytes: Buffer, at: number): [bigint, number] {
  let [value, shift, next] = [0n, 0n, at];
  for (;;) {
    const byte = bytes.readUInt8(next++);
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return [value, next];
    shift += 7n;
  }
}

/** The fields of a message; fixed ones stay bytes. */
function fieldsOf(bytes: Buffer): Fields {
  const fields = new Map<number, Value[]>();
  let at = 0;
  while (at < bytes.length) {
    const [key, afterKey] = varint(bytes, at);
    const type = Number(key & 7n);
    let value: Value;
    if (type === 0) [value, at] = varint(bytes, afterKey);
    else {
      const [length, from] = type === 2 ? varint(bytes, afterKey) : [type === 1 ? 8n : 4n, afterKey];
      at = from + Number(length);
      if (at > bytes.length) throw new Error(`a field of ${length} bytes in a message that ends before it`);
      value = bytes.subarray(from, at);
    }
    const field = Number(key >> 3n);
    fields.set(field, [...(fields.get(field) ?? []), value]);
  }
  return fields;
}

const messages = (fields: Fields, field: number): readonly Buffer[] =>
  (fields.get(field) ?? []).filter((value) => Buffer.isBuffer(value));
const bytesOf = (fields: Fields, field: number): Buffer => messages(fields, field)[0] ?? Buffer.alloc(0);
const textOf = (fields: Fields, field: number): string => bytesOf(fields, field).toString();
const numberOf = (fields: Fields, field: number): number => Number(fields.get(field)?.[0] ?? 0n);

function attributesOf(pairs: readonly Buffer[]): OtlpSpan['attributes'] {
  return Object.fromEntries(
    pairs.map((pair) => {
      const fields = fieldsOf(pair);
      const value = fieldsOf(bytesOf(fields, 2));
      if (value.has(1)) return [textOf(fields, 1), textOf(value, 1)];
      if (value.has(2)) return [textOf(fields, 1), numberOf(value, 2) === 1];
      const integer = value.get(3)?.[0];
      return [textOf(fields, 1), typeof integer === 'bigint' ? integer : bytesOf(value, 4).readDoubleLE()];
    }),
  );
}

function spanOf(bytes: Buffer): OtlpSpan {
  const span = fieldsOf(bytes);
  const status = fieldsOf(bytesOf(span, 15));
  return {
    traceId: bytesOf(span, 1).toString('hex'),
    spanId: bytesOf(span, 2).toString('hex'),
    parentSpanId: span.has(4) ? bytesOf(span, 4).toString('hex') : undefined,
    name: textOf(span, 5),
    kind: numberOf(span, 6),
    startTimeUnixNano: bytesOf(span, 7).readBigUInt64LE(),
    endTimeUnixNano: bytesOf(span, 8).readBigUInt64LE(),
    attributes: attributesOf(messages(span, 9)),
    status: { code: numberOf(status, 3), message: textOf(status, 2) },
  };
}

/** The resources of a request and the spans of each. */
export function readOtlp(
  request: Buffer,
): readonly { readonly resource: OtlpSpan['attributes']; readonly spans: readonly OtlpSpan[] }[] {
  return messages(fieldsOf(request), 1).map((bytes) => {
    const ofResource = fieldsOf(bytes);
    return {
      resource: attributesOf(messages(fieldsOf(bytesOf(ofResource, 1)), 1)),
      spans: messages(ofResource, 2).flatMap((scope) => messages(fieldsOf(scope), 2).map(spanOf)),
    };
  });
}
