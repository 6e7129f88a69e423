import { type InputDelivery, SimulatedCrash } from '../../src/engine/index.ts';

/** The delivery, for a process that does not hear of its own death: one that dies in an acknowledgement is just gone. */
export function tame(delivery: InputDelivery): InputDelivery {
  const quiet =
    <A extends unknown[]>(call: (...args: A) => void) =>
    (...args: A): void => {
      try {
        call(...args);
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) throw error;
      }
    };
  return { ...delivery, ack: quiet(delivery.ack), nak: quiet(delivery.nak), term: quiet(delivery.term) };
}
