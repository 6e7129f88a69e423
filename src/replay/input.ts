/** How a stored input is read: as the engine reads it. Pure. */
import { type InputBody, originalInput, parseInput, type StoredInput } from '../engine/index.ts';

/** What the input says, or said where an imported run comes from; undefined when it is poison (not JSON, or no input of a kind this code knows). */
export function readInputBody(stored: StoredInput): InputBody | undefined {
  const parsed = parseInput(originalInput(stored).data);
  return parsed.ok ? parsed.value : undefined;
}
