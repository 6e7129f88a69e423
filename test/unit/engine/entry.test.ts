import { describe, expect, test } from 'vitest';
import { entryOf, storedEntry } from '../../../src/engine/index.ts';

const SUBJECT = 'wf.load.log.r1';
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('an entry from its message', () => {
  test('has what was stored, whatever script it is written in, and its sequence', () => {
    const transitions = [{ type: 'StepSkipped', step: 'größe', reason: '🌊 ≠ 1' }];
    const stored = { v: 1, cause: 3, at: 1_700_000_000_000, transitions };
    const data = bytes(`....${JSON.stringify(stored)}`).subarray(4); // a view into the connection's piece of memory
    expect(entryOf({ seq: 4, data }, SUBJECT)).toStrictEqual({ ...stored, seq: 4 });
  });

  test('is an error that names it when it is not JSON, or none that this version knows', () => {
    const notJson = { code: 'MR_JOURNAL_CORRUPT', message: `entry 7 of ${SUBJECT} is not JSON` };
    expect(() => entryOf({ seq: 7, data: bytes('{"v":1') }, SUBJECT)).toThrow(expect.objectContaining(notJson));
    const unknown = expect.objectContaining({ code: 'MR_JOURNAL_CORRUPT' });
    expect(() => entryOf({ seq: 7, data: bytes('{"v":2}') }, SUBJECT)).toThrow(unknown);
  });

  test('takes a sequence that the stored value claims for itself from the stream', () => {
    expect(storedEntry({ v: 1, cause: 1, at: 2, transitions: [], seq: 99 }, 5).seq).toBe(5);
  });
});
