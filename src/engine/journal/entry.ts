/** A log entry from the bytes of its message. Pure. */
import { MillraceError } from '../../kernel/index.ts';
import { type StoredEntry, storedEntry } from '../model/index.ts';

const decoder = new TextDecoder();

/** What a message of a log holds. */
export interface StoredBytes {
  readonly seq: number;
  readonly data: Uint8Array;
}

/**
 * The entry that a message of a log holds.
 * @throws MillraceError MR_JOURNAL_CORRUPT when it holds none that this code can read
 */
export function entryOf({ seq, data }: StoredBytes, subject: string): StoredEntry {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(data));
  } catch (cause) {
    throw new MillraceError('MR_JOURNAL_CORRUPT', `entry ${seq} of ${subject} is not JSON`, {
      hint: 'somebody else wrote to this log; restrict publishing on wf.*.log.* to controllers',
      cause,
    });
  }
  return storedEntry(value, seq);
}
