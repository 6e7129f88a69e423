/** How a stored input is read: as the engine reads it. Pure. */
import { type InputBody, parseInput, type StoredInput } from '../engine/index.ts';

/** What the input says; undefined when it is poison (not JSON, or no input of a kind this code knows). */
export function readInputBody(stored: StoredInput): InputBody | undefined {
  const parsed = parseInput(stored.data);
  return parsed.ok ? parsed.value : undefined;
}
