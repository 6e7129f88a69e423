/** A delivery whose answers a test changes. */
import type { InputDelivery } from '../../src/engine/index.ts';

/** The delivery with other answers; a delivery may be of any class, so its members are handed on one by one. */
export function answering(delivery: InputDelivery, change: Partial<Pick<InputDelivery, 'ack' | 'nak'>>): InputDelivery {
  const { run, seq, at, data, headers, deliveries, contiguous, ownSince, restAcked } = delivery;
  return {
    ...{ run, seq, at, data, headers, deliveries, contiguous, ownSince, restAcked },
    ack: () => delivery.ack(),
    nak: (delayMs) => delivery.nak(delayMs),
    term: (reason) => delivery.term(reason),
    working: () => delivery.working(),
    ...change,
  };
}
