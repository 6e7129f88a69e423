/** One delivery in the hands of this process, and the promise of its consumption that it is dealt with. */
import type { InputDelivery } from '../engine/index.ts';
import type { HeldInput } from './tail.ts';

export class Holding implements HeldInput {
  readonly #delivery: InputDelivery;
  readonly #done: () => void;
  readonly since: number;

  constructor(delivery: InputDelivery, since: number, done: () => void) {
    this.#delivery = delivery;
    this.since = since;
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

  working(): void {
    this.#delivery.working();
  }
}
