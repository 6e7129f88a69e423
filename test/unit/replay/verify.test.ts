import { describe, expect, test } from 'vitest';
import type { StoredEntry, Transition } from '../../../src/engine/index.ts';
import { divergedError, readInputBody, verifyRun } from '../../../src/replay/index.ts';
import { define, workerStep } from '../../kit/index.ts';
import { failed, flow, type Recorded, record, start, succeeded, T0, verify, whole } from './record.ts';

/** The recording with one entry changed. */
function tamper(recorded: Recorded, index: number, change: (entry: StoredEntry) => StoredEntry): Recorded {
  return { ...recorded, entries: recorded.entries.map((entry, i) => (i === index ? change(entry) : entry)) };
}

const change = (edit: (t: Transition) => Transition) => (entry: StoredEntry) => ({
  ...entry,
  transitions: entry.transitions.map(edit),
});

describe('a journal that this code wrote', () => {
  test('replays identically, the input that changed nothing and the poison included', () => {
    const recorded = whole();
    expect(recorded.state.status).toBe('completed');
    expect(verify(recorded)).toEqual({
      workflow: 'flow',
      runId: 'r1',
      identical: true,
      entries: 6,
      transitions: recorded.entries.reduce((sum, { transitions }) => sum + transitions.length, 0),
      inputs: 7,
      waiting: 0,
    });
  });

  test('does not judge inputs after the last cause', () => {
    const recorded = record([start(), succeeded('load')]);
    const unhandled = { ...recorded, entries: recorded.entries.slice(0, 1) };
    expect(verify(unhandled)).toMatchObject({ identical: true, entries: 1, waiting: 1 });
  });

  test('a signal before the start is decided with the run’s definition', () => {
    const recorded = record([
      { v: 1, kind: 'signal', name: 'go', payload: 1 },
      start(),
      succeeded('load'),
      succeeded('check'),
    ]);
    expect(recorded.state.status).toBe('completed');
    expect(verify(recorded)).toMatchObject({ identical: true, entries: 4 });
  });

  test('a durable function is not judged: its code replays it', () => {
    const recorded = record([start(), succeeded('load')]);
    const code = { ...flow, code: true };
    expect(verifyRun(recorded, readInputBody, () => code)).toEqual({
      workflow: 'flow',
      runId: 'r1',
      identical: true,
      code: true,
      entries: 0,
      transitions: 0,
      inputs: 0,
      waiting: 0,
    });
  });

  test('an empty log is no divergence', () => {
    expect(verify(record([]))).toMatchObject({ identical: true, entries: 0, inputs: 0 });
  });
});

describe('a journal that does not fit', () => {
  test('a changed output is found, with the line that differs', () => {
    const recorded = tamper(
      whole(),
      3,
      change((t) => (t.type === 'StepCompleted' ? { ...t, output: { from: 'elsewhere' } } : t)),
    );
    const { identical, entries, divergence } = verify(recorded);
    expect({ identical, entries }).toEqual({ identical: false, entries: 3 });
    expect(divergence).toMatchObject({ kind: 'transitions', seq: 8, cause: 7, at: T0 + 3_000 });
    expect(divergence?.diff.filter(({ side }) => side !== ' ')).toEqual([
      { side: '-', text: '      "from": "elsewhere"' },
      { side: '+', text: '      "from": "load"' },
    ]);
  });

  test('a missing transition is found', () => {
    const recorded = tamper(whole(), 0, (entry) => ({ ...entry, transitions: entry.transitions.slice(0, 1) }));
    expect(verify(recorded).divergence).toMatchObject({ kind: 'transitions', seq: 2 });
  });

  test('another time is found', () => {
    const recorded = tamper(whole(), 5, (entry) => ({ ...entry, at: entry.at + 1 }));
    expect(verify(recorded).divergence).toMatchObject({ kind: 'time', seq: 16 });
  });

  test('a cause that is not stored is found', () => {
    const { entries, inputs, run } = whole();
    const recording = { run, entries, inputs: inputs.filter(({ seq }) => seq !== 7) };
    expect(verify(recording).divergence).toMatchObject({ kind: 'input-missing', seq: 8, cause: 7 });
  });

  test('a cause that became unreadable is found', () => {
    const recorded = whole();
    const inputs = recorded.inputs.map((input) =>
      input.seq === 7 ? { ...input, data: new Uint8Array([123]) } : input,
    );
    expect(verify({ ...recorded, inputs }).divergence).toMatchObject({ kind: 'input-unreadable', cause: 7 });
  });

  test('an input that left no entry but would today is found (R4)', () => {
    const recorded = record([start(), succeeded('load'), succeeded('check')]);
    const entries = recorded.entries.filter(({ cause }) => cause !== 3);
    expect(verify({ ...recorded, entries }).divergence).toMatchObject({
      kind: 'transitions',
      seq: 3,
      cause: 3,
      recorded: [],
    });
  });

  test('but not one that was too large for a message: another input stands in its place', () => {
    const recorded = record([
      start(),
      succeeded('load'),
      failed('load'),
      { v: 1, kind: 'timer', timer: 'retry/load/1' },
    ]);
    // As the engine leaves it: the success without an entry, then the failure it sent itself.
    const large = record([start(), failed('load'), { v: 1, kind: 'timer', timer: 'retry/load/1' }]);
    const inputs = recorded.inputs.map((input) =>
      input.seq === 5 ? { ...input, headers: { 'Nats-Msg-Id': 'too-large:r1:3' } } : input,
    );
    const entries = large.entries.map((entry) => {
      const late = entry.cause === 1 ? 0 : 2;
      const moved = { ...entry, cause: entry.cause + late, seq: entry.seq + late, at: entry.at + 500 * late };
      return JSON.parse(JSON.stringify(moved).replaceAll(`${entry.at + 10}`, `${moved.at + 10}`)) as StoredEntry;
    });
    expect(verify({ run: recorded.run, inputs, entries })).toMatchObject({ identical: true, entries: 3 });
    expect(verify({ run: recorded.run, inputs: recorded.inputs, entries }).divergence).toMatchObject({ seq: 3 });
  });

  test('a definition that is gone is found, and is not called a change of the code', () => {
    const other = define('flow', [workerStep('load')]);
    const recorded = record([{ v: 1, kind: 'start', digest: other.digest, payload: null }], other);
    const { divergence } = verify(recorded);
    expect(divergence).toMatchObject({ kind: 'definition-missing', seq: 2 });
    expect(verify(recorded, other)).toMatchObject({ identical: true });
    if (divergence === undefined) throw new Error('no divergence');
    expect(divergedError(recorded.run, divergence)).toMatchObject({
      code: 'MR_REPLAY_DIVERGED',
      hint: expect.stringContaining('definitions bucket'),
      place: { path: 'wf.flow.log.r1#2' },
    });
  });

  test('code that decides differently is found: here rules with fewer attempts stand in for it', () => {
    const recorded = record([start(), failed('load')]);
    const impatient = { ...flow, steps: flow.steps.map((s) => ({ ...s, retry: { ...s.retry, maxAttempts: 1 } })) };
    const { divergence } = verifyRun(recorded, readInputBody, () => impatient);
    expect(divergence?.kind).toBe('transitions');
    expect(divergence?.recorded.map(({ type }) => type)).toEqual(['StepRetryScheduled', 'TimerSet']);
    expect(divergence?.decided.map(({ type }) => type)).toEqual(['StepFailed', 'RunFailed']);
  });
});
