/** A delivery of an input, as little work as it can be: its headers are read when somebody asks for them. */
import type { Delivered } from '../../drivers/index.ts';
import { parseRunSubject } from '../../kernel/index.ts';
import type { DeliveryChain } from './chain.ts';
import type { InputDelivery, RunRef } from './port.ts';

const NOBODY: RunRef = { workflow: '', runId: '' };

export class JetStreamDelivery implements InputDelivery {
  readonly run: RunRef;
  readonly seq: number;
  /** Cut as a stored message's time is: both must be the same "now". */
  readonly at: number;
  readonly data: Uint8Array;
  readonly deliveries: number;
  readonly contiguous: boolean;
  readonly ownSince: number;
  readonly restAcked: boolean;
  readonly #msg: Delivered;

  constructor(msg: Delivered, contiguous: boolean, chain: DeliveryChain) {
    this.run = parseRunSubject(msg.subject) ?? NOBODY;
    this.seq = msg.seq;
    this.at = msg.at;
    this.data = msg.data;
    this.deliveries = msg.deliveries;
    this.contiguous = contiguous;
    this.ownSince = chain.ownSince;
    this.restAcked = chain.restAcked;
    this.#msg = msg;
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#msg.headers;
  }

  ack(): void {
    this.#msg.ack();
  }

  nak(delayMs?: number): void {
    this.#msg.nak(delayMs);
  }

  term(reason: string): void {
    this.#msg.term(reason);
  }

  working(): void {
    this.#msg.working();
  }
}
