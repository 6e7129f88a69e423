import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAckSubject } from '../../../src/drivers/ack-subject.ts';
import { headerBlock, headerLines } from '../../../src/drivers/headers.ts';
import { AckReader } from '../../../src/drivers/pub-ack.ts';
import { isMillraceError } from '../../../src/kernel/index.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

describe('headers', () => {
  it('are one block, a line each, values trimmed', () => {
    expect(text(headerBlock(headerLines({ A: ' ü ', B: '' })))).toBe('NATS/1.0\r\nA: ü\r\nB: \r\n\r\n');
  });

  it.each([
    ['a line break in a value', { A: 'x\r\nNats-Rollup: all' }],
    ['a carriage return alone', { A: 'x\ry' }],
    ['a colon in a name', { 'A:B': 'x' }],
    ['a space in a name', { 'A B': 'x' }],
    ['an empty name', { '': 'x' }],
  ])('are refused with %s', (_, headers) => {
    let error: unknown;
    try {
      headerLines(headers);
    } catch (thrown) {
      error = thrown;
    }
    expect(isMillraceError(error, 'MR_INPUT_INVALID')).toBe(true);
  });
});

describe('acknowledgements', () => {
  const read = (answer: string) => new AckReader().read(bytes(answer));

  it.each([
    ['stored', '{"stream":"S","seq":7}', { kind: 'stored', stream: 'S', seq: 7, duplicate: false }],
    ['with a space', '{"stream":"S", "seq":7}', { kind: 'stored', stream: 'S', seq: 7, duplicate: false }],
    ['duplicate', '{"stream":"S","seq":7,"duplicate":true}', { kind: 'stored', stream: 'S', seq: 7, duplicate: true }],
    [
      'batch',
      '{"stream":"S","seq":9,"batch":"b","count":3}',
      { kind: 'stored', stream: 'S', seq: 9, duplicate: false, count: 3 },
    ],
    [
      'refused',
      '{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"S","seq":0}',
      { kind: 'refused', code: 10071, reason: 'wrong last sequence: 3' },
    ],
    ['refused, an old code', '{"error":{"code":503,"description":"no"}}', { kind: 'refused', code: 503, reason: 'no' }],
    ['not JSON', 'what', { kind: 'unknown', reason: 'the acknowledgement is not JSON' }],
    ['not an object', '[1]', { kind: 'unknown', reason: 'the acknowledgement is not an object' }],
  ])('%s', (_, answer, outcome) => {
    expect(read(answer)).toEqual(outcome);
  });

  it('the quick way says what the slow way says, whatever came before', () => {
    const stream = fc.constantFrom('S', 'WF_a', 'WF_ab', 'WF_b"', 'ü');
    const seq = fc.oneof(fc.nat(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
    const answer = fc
      .tuple(
        stream,
        seq,
        fc.constantFrom('', ',"duplicate":true', ',"batch":"b","count":2', 'x'),
        fc.constantFrom('', ' '),
      )
      .map(([name, n, more, space]) => `{"stream":${JSON.stringify(name)},${space}"seq":${n}${more}}`);
    fc.assert(
      fc.property(fc.array(answer, { maxLength: 8 }), (answers) => {
        const reader = new AckReader();
        expect(answers.map((one) => reader.read(bytes(one)))).toEqual(answers.map(read));
      }),
    );
  });
});

describe('the reply subject of a delivery', () => {
  it('is read in both forms, the time cut to whole milliseconds as a big integer would be (property)', () => {
    const nanos = fc.bigInt({ min: 1_000_000n, max: 4_000_000_000_000_000_000n });
    const number = fc.integer({ min: 1, max: 2 ** 40 });
    fc.assert(
      fc.property(number, number, number, nanos, fc.boolean(), (deliveries, seq, deliverySeq, time, domain) => {
        const head = domain ? '$JS.ACK.hub.Xa9.S.c' : '$JS.ACK.S.c';
        const reply = `${head}.${deliveries}.${seq}.${deliverySeq}.${time}.7${domain ? '.rnd' : ''}`;
        const at = Number(time / 1_000_000n);
        expect(parseAckSubject(reply)).toEqual({ deliveries, seq, deliverySeq, at });
      }),
    );
  });

  it.each(['', '_INBOX.a.b', '$JS.ACK.S.c.1.2', '$JS.ACK.S.c.x.2.3.4000000.5', '$JS.API.S.c.1.2.3.4000000.5'])(
    'nothing is read from %j',
    (reply) => expect(parseAckSubject(reply)).toBeUndefined(),
  );
});
