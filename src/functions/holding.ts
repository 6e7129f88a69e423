/**
 * One delivery in the hands of this process, and the promise of its consumption that it is dealt with. Until that is kept the
 * consumption tells the server that the input is being worked on (drivers/consumer.jetstream.ts, D1): it is a lease.
 */
import type { InputDelivery } from '../engine/index.ts';
import type { HeldInput } from './tail.ts';

export class Holding implements HeldInput {
  readonly #delivery: InputDelivery;
  readonly #done: () => void;

  constructor(delivery: InputDelivery, done: () => void) {
    this.#delivery = delivery;
    this.#done = done;
  }

  get seq(): number {
    return this.#delivery.seq;
  }

  get deliveries(): number {
    return this.#delivery.deliveries;
  }

  ack(): void {
    this.#delivery.ack();
    this.#done();
  }

  nak(delayMs?: number): void {
    this.#delivery.nak(delayMs);
    this.#done();
  }

  term(reason: string): void {
    this.#delivery.term(reason);
    this.#done();
  }

  drop(): void {
    this.#done();
  }
}
