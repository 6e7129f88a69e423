/** A delivery of a durable consumer, as little work as it can be: headers are read when somebody asks for them. */
import type { Msg } from 'nats';
import { type DeliveryNumbers, parseAckSubject } from './ack-subject.ts';
import type { Wire } from './gather.nats.ts';
import { plainHeaders } from './publisher.nats.ts';

const [ACK, NAK, WORKING] = ['+ACK', '-NAK', '+WPI'] as const;
const NANOS = 1_000_000;

export class Delivered implements DeliveryNumbers {
  /** The subject it was stored under. */
  readonly subject: string;
  readonly data: Uint8Array;
  readonly deliveries: number;
  readonly seq: number;
  readonly deliverySeq: number;
  readonly at: number;
  readonly #msg: Msg;
  readonly #wire: Wire;
  #headers: Readonly<Record<string, string>> | undefined;
  #settled = false;

  private constructor(msg: Msg, wire: Wire, numbers: DeliveryNumbers) {
    this.#msg = msg;
    this.#wire = wire;
    this.subject = msg.subject;
    this.data = msg.data;
    this.deliveries = numbers.deliveries;
    this.seq = numbers.seq;
    this.deliverySeq = numbers.deliverySeq;
    this.at = numbers.at;
  }

  /** undefined for a message that no consumer delivered: there is nobody to acknowledge it to. */
  static from(msg: Msg, wire: Wire): Delivered | undefined {
    const numbers = parseAckSubject(msg.reply ?? '');
    return numbers === undefined ? undefined : new Delivered(msg, wire, numbers);
  }

  /** First value of each. */
  get headers(): Readonly<Record<string, string>> {
    this.#headers ??= plainHeaders(this.#msg.headers);
    return this.#headers;
  }

  string(): string {
    return this.#msg.string();
  }

  /** @throws SyntaxError */
  json(): unknown {
    return this.#msg.json();
  }

  /** The first of ack, nak and term counts. */
  ack(): void {
    this.#settle(ACK);
  }

  nak(delayMs?: number): void {
    this.#settle(delayMs === undefined || delayMs === 0 ? NAK : `-NAK ${JSON.stringify({ delay: delayMs * NANOS })}`);
  }

  term(reason: string): void {
    this.#settle(`+TERM ${reason}`);
  }

  /** Still in hand: the ack wait begins anew. */
  working(): void {
    if (!this.#settled) this.#answer(WORKING);
  }

  #settle(answer: string): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#answer(answer);
  }

  #answer(text: string): void {
    if (this.#msg.reply !== undefined) this.#wire.respond(this.#msg.reply, text);
  }
}
