/** Whether an input that is in hand has been purged with its run meanwhile. Pure. */
import { SHORTEST_RETENTION_MS } from '../model/index.ts';
import type { Journal, StoredInput } from './port.ts';

/** What is younger cannot have been purged, even by a janitor whose clock is a minute ahead. */
const YOUNG_MS = SHORTEST_RETENTION_MS / 2;

/** `true` for an input that may have been purged while it waited: by the journal's time and the clock here. */
export const isOld = (at: number, now: number): boolean => now - at > YOUNG_MS;

/**
 * `true` when the stream does not hold the input any more. A process that stood still for longer than the retention has inputs in
 * hand whose runs others have ended and the janitor has purged: to it they look like inputs of runs that never were.
 */
export async function isPurged(journal: Pick<Journal, 'inputsBetween'>, input: Pick<StoredInput, 'run' | 'seq'>) {
  return (await journal.inputsBetween(input.run, input.seq - 1, input.seq + 1)).length === 0;
}
