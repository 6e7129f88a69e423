/** Values on their way into the journal: what comes back on replay must be what the code saw the first time. Pure. */
import { type Json, MillraceError } from '../kernel/index.ts';

const MAX_DEPTH = 200;

/** What {@link plain} gives for what JSON would not give back as it is. */
const NOT_PLAIN = Symbol('not plain');

/** A copy of the value, when JSON gives it back as it is. */
function plain(value: unknown, room: number): Json | typeof NOT_PLAIN {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0) ? value : NOT_PLAIN;
    case 'object': {
      if (value === null) return null;
      if (room === 0) return NOT_PLAIN;
      if (Array.isArray(value)) return plainArray(value, room - 1);
      return Object.getPrototypeOf(value) === Object.prototype ? plainObject(value, room - 1) : NOT_PLAIN;
    }
    default:
      return NOT_PLAIN;
  }
}

function plainArray(values: readonly unknown[], room: number): Json | typeof NOT_PLAIN {
  const copy: Json[] = [];
  for (let i = 0; i < values.length; i++) {
    const member = plain(values[i], room); // a hole is undefined, and not plain
    if (member === NOT_PLAIN) return NOT_PLAIN;
    copy.push(member);
  }
  return copy;
}

function plainObject(value: object, room: number): Json | typeof NOT_PLAIN {
  const copy: Record<string, Json> = {};
  for (const [key, member] of Object.entries(value)) {
    const kept = key === '__proto__' ? NOT_PLAIN : plain(member, room);
    if (kept === NOT_PLAIN) return NOT_PLAIN;
    copy[key] = kept;
  }
  return copy;
}

/** A value of its own for the code: what it changes in it must not be changed in what is on its way into the journal. */
export function copyOf(value: Json): Json {
  if (value === null || typeof value !== 'object') return value;
  const copy = plain(value, MAX_DEPTH);
  return copy === NOT_PLAIN ? (JSON.parse(JSON.stringify(value)) as Json) : copy;
}

/**
 * A copy of the value as JSON has it. Others than plain ones (dates, members that are undefined, classes with `toJSON`) are
 * as they would come back from the journal, so that the first execution and every replay see the same.
 * @throws MillraceError MR_OUTPUT_INVALID for what JSON cannot hold at all
 */
export function asJson(value: unknown, what: string): Json {
  if (value === undefined) return null;
  const copy = plain(value, MAX_DEPTH);
  if (copy !== NOT_PLAIN) return copy;
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
