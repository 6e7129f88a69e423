/**
 * What the server answers to a publish, as an outcome. Nearly all answers are `{"stream":"NAME","seq":N}`, and nearly all
 * come from the stream the one before came from: those are read without making text of them. Pure.
 */
import { isObject } from '../kernel/index.ts';
import type { PublishOutcome } from './publishing.ts';

const [ZERO, NINE, CLOSE] = [0x30, 0x39, 0x7d];
/** More digits than these may not be a whole number any more; the slow way rounds them as JSON does. */
const DIGITS = 15;
const PLAIN = /^(\{"stream":"([^"\\]+)",\s*"seq":)\d+\}$/;

const decoder = new TextDecoder();

/** Reads the answers of one publisher. */
export class AckReader {
  #prefix: Uint8Array = new Uint8Array(0);
  #stream = '';

  read(data: Uint8Array): PublishOutcome {
    const seq = this.#known(data);
    return seq < 0
      ? this.#parse(decoder.decode(data))
      : { kind: 'stored', stream: this.#stream, seq, duplicate: false };
  }

  /** The sequence when the answer is the usual one of the stream seen last; -1 otherwise. */
  #known(data: Uint8Array): number {
    const prefix = this.#prefix;
    const start = prefix.length;
    const end = data.length - 1;
    if (start === 0 || end <= start || end - start > DIGITS || data[end] !== CLOSE) return -1;
    for (let i = 0; i < start; i++) if (data[i] !== prefix[i]) return -1;
    let seq = 0;
    for (let i = start; i < end; i++) {
      const digit = data[i] ?? 0;
      if (digit < ZERO || digit > NINE) return -1;
      seq = seq * 10 + digit - ZERO;
    }
    return seq;
  }

  #parse(text: string): PublishOutcome {
    let ack: unknown;
    try {
      ack = JSON.parse(text);
    } catch {
      return { kind: 'unknown', reason: 'the acknowledgement is not JSON' };
    }
    if (!isObject(ack)) return { kind: 'unknown', reason: 'the acknowledgement is not an object' };
    const { error, stream, seq, duplicate, count } = ack;
    if (isObject(error)) {
      const code = Number(error['err_code'] ?? error['code'] ?? 0);
      return { kind: 'refused', code, reason: String(error['description']) };
    }
    const plain = PLAIN.exec(text);
    if (plain !== null) {
      this.#prefix = Buffer.from(plain[1] ?? '', 'utf8');
      this.#stream = plain[2] ?? '';
    }
    return {
      kind: 'stored',
      stream: String(stream),
      seq: Number(seq),
      duplicate: duplicate === true,
      ...(count === undefined ? {} : { count: Number(count) }),
    };
  }
}
