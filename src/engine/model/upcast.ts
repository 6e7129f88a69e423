/** Reads log entries of this and earlier versions; the one place that knows what older entries looked like. */
import { isObject, MillraceError } from '../../kernel/index.ts';
import type { LogEntry, StoredEntry } from './transitions.ts';

/**
 * A log entry from its stored JSON value.
 * @throws MillraceError MR_JOURNAL_CORRUPT when it is no entry of a version this code knows
 */
export function upcastEntry(value: unknown): LogEntry {
  if (
    isObject(value) &&
    value['v'] === 1 &&
    typeof value['cause'] === 'number' &&
    typeof value['at'] === 'number' &&
    Array.isArray(value['transitions'])
  ) {
    return value as unknown as LogEntry;
  }
  const version = isObject(value) ? String(value['v']) : typeof value;
  throw new MillraceError('MR_JOURNAL_CORRUPT', `a log entry of version ${version} is not one this Millrace can read`, {
    hint: 'it may have been written by a newer Millrace; upgrade this one, or look at it with `nats stream get`',
  });
}

/**
 * A stored log entry from the JSON value of its message. The value becomes the entry, unlike a copy of it: it must be the
 * caller's own, as what JSON.parse has just given.
 * @throws MillraceError MR_JOURNAL_CORRUPT when it is no entry of a version this code knows
 */
export function storedEntry(value: unknown, seq: number): StoredEntry {
  return Object.assign(upcastEntry(value), { seq });
}
