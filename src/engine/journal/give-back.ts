/** After how long a message that was given back comes again. Pure. */
const FIRST_MS = 200;
const MAX_MS = 30_000;

/**
 * Doubles with each delivery, from 200 ms to 30 s: a passing fault costs little, a lasting one does not spin.
 * @param deliveries how often the message has been delivered, from 1
 */
export function giveBackMs(deliveries: number): number {
  return Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(20, deliveries - 1));
}
