/** How a stored input is read, as the engine reads it. Pure. */
import { type InputBody, inputBodySchema, type StoredInput } from '../engine/index.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

/** What the input says; undefined when it is poison (not JSON, or no input of a kind this code knows). */
export function readInputBody(stored: StoredInput): InputBody | undefined {
  try {
    const parsed = inputBodySchema.safeParse(JSON.parse(decoder.decode(stored.data)));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
