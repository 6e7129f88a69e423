/** A run that is exported and imported is the same run: its history, its state, and what the replay proves of it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  fold,
  isEnded,
  MemoryBroker,
  MemoryJournal,
  type StoredEntry,
  type StoredInput,
} from '../../src/engine/index.ts';
import { isMillraceError } from '../../src/kernel/index.ts';
import { readInputBody, verifyRun } from '../../src/replay/index.ts';
import { importRun } from '../../src/storage/import.ts';
import { type ExportedRun, exportRun, parseExport } from '../../src/storage/transfer.ts';
import { manualClock } from '../kit/clock.ts';
import { cancelled, failed, RUN_ID, Story, started, succeeded } from '../kit/spec.ts';
import { storyOfChance } from '../kit/story-of-chance.ts';
import { define, workerStep } from '../kit/workflows.ts';

const encoder = new TextEncoder();
const run = { workflow: 'sim', runId: RUN_ID };

/** What a journal holds of a story: its inputs, some poison among them, and its log. */
function stored(story: Story): { inputs: StoredInput[]; entries: readonly StoredEntry[] } {
  const inputs = story.inputs.map(({ seq, at, body }) => ({
    ...{ run, seq, at, headers: { 'Nats-Msg-Id': `m${seq}` } },
    data: encoder.encode(JSON.stringify(body)),
  }));
  const poison = { run, seq: 1_000_001, at: 5, headers: {}, data: new Uint8Array([255, 0, 254]) };
  return { inputs: [...inputs, poison], entries: story.entries };
}

function exported(story: Story): { text: string; read: ExportedRun } {
  const { inputs, entries } = stored(story);
  const text = exportRun(run, [story.definition], inputs, entries).join('\n');
  return { text, read: parseExport(text, 'run.jsonl') };
}

/** A journal elsewhere, where other runs have been before. */
function elsewhere() {
  const broker = new MemoryBroker({ clock: manualClock(1_800_000_000_000), mode: 'manual' });
  const journal = new MemoryJournal(broker);
  for (let n = 0; n < 7; n++)
    broker.storeInput({ workflow: 'sim', runId: 'other' }, encoder.encode('{}'), {}, undefined);
  const purge = async (one: { runId: string }): Promise<void> => {
    const stream = broker.stream('sim');
    stream.inputs.delete(one.runId);
    stream.logs.delete(one.runId);
  };
  return { broker, journal, ports: { journal, purge, importId: 'i' } };
}

/** A state without the sequences, which are the stream's. */
const withoutSequences = (story: Pick<Story, 'state'>['state'] | ReturnType<typeof fold>) => {
  const { lastInput: _i, lastEntry: _e, runId: _r, ...rest } = story;
  return rest;
};

describe('export and import', () => {
  test('round trip: the same state, times and transitions; the replay finds nothing; as any id', async () => {
    let ended = 0;
    await fc.assert(
      fc.asyncProperty(storyOfChance, fc.constantFrom(RUN_ID, 'incident-12'), async (story, as) => {
        if (!isEnded(story.state)) story.feed(cancelled());
        if (!isEnded(story.state)) return; // it has not even begun
        ended++;
        const { read } = exported(story);
        const { journal, ports } = elsewhere();
        const there = await importRun(read, as, ports);
        const entries = await journal.entries(there);
        const inputs = await journal.inputsBetween(there, 0, Number.MAX_SAFE_INTEGER);
        expect(withoutSequences(fold('sim', as, entries))).toEqual(withoutSequences(story.state));
        expect(entries.map(({ at }) => at)).toEqual(story.entries.map(({ at }) => at));
        const verified = verifyRun({ run: there, entries, inputs }, readInputBody, () => story.definition);
        expect(verified).toMatchObject({ identical: true, entries: story.entries.length });
        // And on from there: what comes out again is what went in, but for the sequences.
        const again = parseExport(exportRun(there, [story.definition], inputs, entries).join('\n'), 'again');
        expect(again.inputs.map(({ seq: _, ...one }) => one)).toEqual(read.inputs.map(({ seq: _, ...one }) => one));
        expect(again.runId).toBe(RUN_ID);
      }),
      { numRuns: 150 },
    );
    expect(ended).toBeGreaterThan(50);
  });

  const definition = define('sim', [workerStep('a'), workerStep('b', ['a'])]);
  const story = (): Story => {
    const one = new Story(definition);
    for (const body of [started(), succeeded('a', 1, { n: 1 }), failed('b', 1, { retryable: false })]) one.feed(body);
    return one;
  };

  test('a broken import is begun again; a run that is there is left alone', async () => {
    const { read } = exported(story());
    const { journal, ports, broker } = elsewhere();
    const calls = 2 * (read.inputs.length + read.entries.length);
    for (let dies = 1; dies < calls; dies++) {
      let left = dies;
      const dying = {
        ...ports,
        purge: async () => Promise.reject(new Error('dead')), // whoever dies cleans nothing up
        journal: {
          entries: (one: typeof run) => journal.entries(one),
          inputsBetween: (one: typeof run, a: number, b: number) => journal.inputsBetween(one, a, b),
          append: (...args: Parameters<typeof journal.append>) =>
            --left < 0 ? Promise.reject(new Error('dead')) : journal.append(...args),
          send: (...args: Parameters<typeof journal.send>) =>
            --left < 0 ? Promise.reject(new Error('dead')) : journal.send(...args),
        },
      };
      const died = await importRun(read, 'x', dying).then(
        () => false,
        () => true,
      );
      if (!died) break;
      await importRun(read, 'x', { ...ports, importId: `i${dies}` });
      expect(fold('sim', 'x', await journal.entries({ workflow: 'sim', runId: 'x' })).status).toBe('failed');
      await ports.purge({ runId: 'x' });
    }
    await importRun(read, 'y', ports);
    const before = await journal.entries({ workflow: 'sim', runId: 'y' });
    await expect(importRun(read, 'y', ports)).rejects.toThrow(/already/);
    await expect(importRun(read, 'other', ports)).rejects.toThrow(/already/);
    expect(await journal.entries({ workflow: 'sim', runId: 'y' })).toEqual(before);
    expect(broker.stream('sim').logs.get('other')).toBeUndefined();
  });

  test('a file that was changed is refused with its line', () => {
    const { text } = exported(story());
    const lines = text.split('\n');
    const refusal = (changed: readonly string[]): unknown => {
      try {
        parseExport(changed.join('\n'), 'run.jsonl');
        return undefined;
      } catch (error) {
        return isMillraceError(error) ? `${error.code} ${error.place?.file}:${error.place?.line}` : error;
      }
    };
    const replaced = (n: number, line: string): readonly string[] => lines.map((one, i) => (i === n ? line : one));
    expect(refusal(lines)).toBeUndefined();
    expect(refusal(replaced(2, '{"entry":'))).toBe('MR_INPUT_INVALID run.jsonl:3');
    expect(refusal(replaced(1, '{"input":1}'))).toBe('MR_INPUT_INVALID run.jsonl:2');
    expect(refusal(replaced(1, '{"what":1}'))).toBe('MR_INPUT_INVALID run.jsonl:2');
    expect(refusal(replaced(2, lines[1] ?? ''))).toBe('MR_INPUT_INVALID run.jsonl:3');
    expect(refusal(replaced(2, (lines[2] ?? '').replace('"cause":1', '"cause":99')))).toBe(
      'MR_INPUT_INVALID run.jsonl:3',
    );
    expect(refusal(replaced(2, (lines[2] ?? '').replace('"v":1', '"v":9')))).toBe('MR_INPUT_INVALID run.jsonl:3');
    expect(refusal(lines.slice(0, -1))).toBe(`MR_INPUT_INVALID run.jsonl:${lines.length - 1}`);
    expect(refusal(replaced(0, (lines[0] ?? '').replace('"format":1', '"format":2')))).toBe(
      'MR_INPUT_INVALID run.jsonl:1',
    );
    expect(refusal(['{"a":1}'])).toBe('MR_INPUT_INVALID run.jsonl:1');
    const open = new Story(definition);
    open.feed(started());
    expect(refusal(exportRun(run, [], stored(open).inputs, open.entries))).toBe('MR_RUN_STATE run.jsonl:1');
  });
});
