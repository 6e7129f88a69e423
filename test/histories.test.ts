/** Old journals are a contract: see test/histories/README.md. */
import { describe, expect, test } from 'vitest';
import { readHistories, replayHistory } from './kit/history.ts';

const histories = readHistories();

describe('recorded histories', () => {
  test('are there', () => {
    expect(histories.length).toBeGreaterThanOrEqual(9);
  });

  test.each(histories)('$name replays the same', ({ history }) => {
    expect(replayHistory(history)).toEqual([]);
  });

  test.each(histories)('$name tampered with is found', ({ history }) => {
    const entries = history.entries.map((entry, i) => (i === 1 ? { ...entry, at: entry.at + 1 } : entry));
    expect(replayHistory({ ...history, entries })).not.toEqual([]);
    expect(replayHistory({ ...history, entries: history.entries.slice(1) })).not.toEqual([]);
    expect(replayHistory({ ...history, inputs: history.inputs.slice(1) })).not.toEqual([]);
    expect(replayHistory({ ...history, commands: {} })).not.toEqual([]);
  });
});
