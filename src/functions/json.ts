/** Values on their way into the journal: what comes back on replay must be what the code saw the first time. Pure. */
import { type Json, MillraceError } from '../kernel/index.ts';

const MAX_DEPTH = 200;

/** `true` when JSON gives the value back as it is. */
function isPlain(value: unknown, room: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value);
    case 'object': {
      if (value === null) return true;
      if (room === 0) return false;
      if (Array.isArray(value)) return value.every((member) => isPlain(member, room - 1));
      const prototype: unknown = Object.getPrototypeOf(value);
      if (prototype !== Object.prototype && prototype !== null) return false;
      for (const member of Object.values(value)) if (!isPlain(member, room - 1)) return false;
      return true;
    }
    default:
      return false;
  }
}

/**
 * The value as JSON has it. Plain values are given back themselves; others (dates, members that are undefined, classes with
 * `toJSON`) as they would come back from the journal, so that the first execution and every replay see the same.
 * @throws MillraceError MR_OUTPUT_INVALID for what JSON cannot hold at all
 */
export function asJson(value: unknown, what: string): Json {
  if (value === undefined) return null;
  if (isPlain(value, MAX_DEPTH)) return value as Json;
  try {
    const text = JSON.stringify(value);
    if (text !== undefined) return JSON.parse(text) as Json;
  } catch (cause) {
    throw invalid(what, cause instanceof Error ? cause.message : String(cause), cause);
  }
  throw invalid(what, `a ${typeof value} is no JSON`, undefined);
}

function invalid(what: string, why: string, cause: unknown): MillraceError {
  return new MillraceError('MR_OUTPUT_INVALID', `${what} cannot be stored: ${why}`, {
    hint: 'return plain values: objects, arrays, strings, numbers, booleans, null',
    cause,
  });
}
