import { describe, expect, test } from 'vitest';
import type { InputBody } from '../../../src/engine/index.ts';
import {
  diffJson,
  historyOf,
  itemsText,
  type RunSummary,
  resolveRun,
  selectRuns,
  stateAt,
  summarize,
  viewRun,
} from '../../../src/replay/index.ts';
import { started as began, failed as broken, succeeded as done, Story } from '../../kit/spec.ts';
import { define, PATIENT, workerStep } from '../../kit/workflows.ts';
import { failed, flow, record, start, succeeded, T0, whole } from './record.ts';

describe('summary', () => {
  const summaryOf = (recorded: ReturnType<typeof record>): RunSummary | undefined =>
    recorded.entries.reduce<RunSummary | undefined>((s, entry) => summarize(s, recorded.run, entry), undefined);

  test('follows a run to its end', () => {
    expect(summaryOf(whole())).toEqual({
      workflow: 'flow',
      runId: 'r1',
      status: 'completed',
      digest: flow.digest,
      startedAt: T0,
      endedAt: T0 + 7_000,
      updatedAt: T0 + 7_000,
      by: 'anna',
      stepsCompleted: 3,
      stepsSkipped: 0,
      open: [],
      failures: 1,
      retries: 0,
      lastEntry: 16,
    });
  });

  test('says where an open run stands, and why a failed one failed', () => {
    expect(summaryOf(record([start()]))).toMatchObject({ status: 'running', open: ['load'], stepsCompleted: 0 });
    const timer = (attempt: number) => ({ v: 1, kind: 'timer', timer: `retry/load/${attempt}` }) as const;
    const worn = [start(), failed('load', 1), timer(1), failed('load', 2), timer(2), failed('load', 3)];
    expect(summaryOf(record(worn))).toMatchObject({
      status: 'failed',
      open: [],
      failures: 3,
      failedStep: 'load',
      error: { code: 'MR_STEP_FAILED', message: 'load is broken' },
    });
    const again = summaryOf(record([...worn, { v: 1, kind: 'retry' }]));
    expect(again).toMatchObject({ status: 'running', retries: 1, open: ['load'] });
    expect(again).not.toHaveProperty('error');
    expect(again).not.toHaveProperty('endedAt');
  });

  test('says what is paused and what is being closed, as long as it is', () => {
    const careful = define('careful', [
      workerStep('a', [], { compensate: { handler: 'undo', queue: 'q', retry: PATIENT } }),
      workerStep('b', ['a'], { retry: { ...PATIENT, maxAttempts: 1, onExhausted: 'pause' } }),
    ]);
    const of = (...bodies: readonly InputBody[]): RunSummary | undefined => {
      const story = new Story(careful);
      for (const body of bodies) story.feed(body);
      const run = { workflow: 'careful', runId: 'r1' };
      return story.entries.reduce<RunSummary | undefined>((s, entry) => summarize(s, run, entry), undefined);
    };
    const paused = [began(), done('a', 1), broken('b', 1)];
    expect(of(...paused)).toMatchObject({ status: 'running', open: ['b'], paused: ['b'], failures: 1 });
    expect(selectRuns([of(...paused) as RunSummary, of(began()) as RunSummary], { paused: true })).toHaveLength(1);
    expect(of(...paused, { v: 1, kind: 'resume' })).not.toHaveProperty('paused');
    const closing = [...paused, { v: 1, kind: 'cancel', reason: 'no' } as const];
    expect(of(...closing)).toMatchObject({ status: 'running', closing: 'cancelled', open: ['undo:a'] });
    expect(of(...closing)).not.toHaveProperty('paused');
    const ended = of(...closing, done('undo:a', 1));
    expect(ended).toMatchObject({ status: 'cancelled', open: [] });
    expect(ended).not.toHaveProperty('closing');
  });

  test('selects by status, newest first', () => {
    const base = summaryOf(record([start()]));
    if (base === undefined) throw new Error('no summary');
    const runs = [1, 2, 3].map(
      (n) => ({ ...base, runId: `r${n}`, startedAt: T0 + n, status: n === 2 ? 'failed' : 'running' }) as RunSummary,
    );
    expect(selectRuns(runs).map(({ runId }) => runId)).toEqual(['r3', 'r2', 'r1']);
    expect(selectRuns(runs, { status: 'running', limit: 1 }).map(({ runId }) => runId)).toEqual(['r3']);
  });
});

describe('view', () => {
  test('shows compensations behind the steps, and the progress of an attempt', () => {
    const undone = define('undone', [
      workerStep('a', [], { compensate: { handler: 'undo', queue: 'q', retry: PATIENT } }),
      workerStep('b', ['a']),
    ]);
    const story = new Story(undone);
    const beat: InputBody = { v: 1, kind: 'task.heartbeat', step: 'b', attempt: 1, details: { row: 3 } };
    const stop: InputBody = { v: 1, kind: 'cancel', reason: 'no' };
    for (const body of [began(), done('a', 1), beat, stop, done('undo:a', 1)]) story.feed(body);
    const { steps } = viewRun({ workflow: 'undone', runId: 'r1' }, story.entries, undone);
    expect(steps.map(({ name, status, progress }) => ({ name, status, progress }))).toEqual([
      { name: 'a', status: 'compensated', progress: undefined },
      { name: 'b', status: 'cancelled', progress: { row: 3 } },
      { name: 'undo:a', status: 'completed', progress: undefined },
    ]);
    expect(steps[2]?.action).toEqual({ kind: 'worker', handler: 'undo', queue: 'q' });
  });

  test('shows every attempt with its times and its error, and steps to come', () => {
    const recorded = record([
      start(),
      { v: 1, kind: 'task.started', step: 'load', attempt: 1, worker: 'w1' },
      failed('load'),
      { v: 1, kind: 'timer', timer: 'retry/load/1' },
    ]);
    const { steps, state } = viewRun(recorded.run, recorded.entries, flow);
    expect(state).toEqual(recorded.state);
    expect(steps.map(({ name, status, attempts }) => [name, status, attempts.length])).toEqual([
      ['load', 'scheduled', 2],
      ['check', 'pending', 0],
      ['approve', 'pending', 0],
    ]);
    expect(steps[0]?.attempts).toEqual([
      {
        attempt: 1,
        status: 'failed',
        scheduledAt: T0,
        startedAt: T0 + 1_000,
        endedAt: T0 + 2_000,
        worker: 'w1',
        error: { code: 'MR_STEP_FAILED', message: 'load is broken', retryable: true, lost: false },
        retryAt: T0 + 2_010,
      },
      { attempt: 2, status: 'scheduled', scheduledAt: T0 + 3_000 },
    ]);
  });

  test('without the definition shows what has begun', () => {
    const recorded = record([start()]);
    expect(viewRun(recorded.run, recorded.entries).steps.map(({ name }) => name)).toEqual(['load']);
  });
});

describe('history', () => {
  test('tells what happened, when and why', () => {
    const recorded = record([start(), failed('load')]);
    const lines = historyOf(
      recorded.entries,
      new Map([
        [1, 'start'],
        [3, 'task.failed'],
      ]),
    );
    expect(lines.map(({ seq, cause, causeKind, text }) => [seq, cause, causeKind, text])).toEqual([
      [2, 1, 'start', 'run started by anna'],
      [2, 1, 'start', 'load handed out'],
      [4, 3, 'task.failed', 'load failed: load is broken; next attempt in 10ms'],
      [4, 3, 'task.failed', 'timer retry/load/1 set, due in 10ms'],
    ]);
  });

  test('gives the state at a sequence', () => {
    const { run, entries, state } = record([start(), succeeded('load')]);
    expect(stateAt(run, entries, 3)).toMatchObject({ lastEntry: 2, steps: { load: { status: 'scheduled' } } });
    expect(stateAt(run, entries, 1_000)).toEqual(state);
    expect(stateAt(run, entries, 1).status).toBe('new');
  });
});

describe('an abbreviated id', () => {
  const runs = ['abc1', 'abc2', 'xyz', 'xyzz'].map((runId) => ({ workflow: 'w', runId }));
  test('means the one run that begins so; a whole id wins over longer ones', () => {
    expect(resolveRun('abc1', runs).runId).toBe('abc1');
    expect(resolveRun('xyz', runs).runId).toBe('xyz');
    expect(resolveRun('xyzz', runs).runId).toBe('xyzz');
  });
  test('of several runs or of none is refused', () => {
    expect(() => resolveRun('abc', runs)).toThrow('"abc" may mean abc1 (w), abc2 (w)');
    expect(() => resolveRun('q', runs)).toThrow('there is no run "q"');
  });
});

describe('diff', () => {
  test('shows changed lines in their surroundings, whatever the order of keys', () => {
    expect(diffJson({ a: 1, b: 2 }, { b: 2, a: 1 })).toEqual([]);
    const text = diffJson({ a: 1, b: 2, c: 3, d: 4, e: 5, f: 6 }, { a: 1, b: 7, c: 3, d: 4, e: 5, f: 6 });
    expect(text.map(({ side, text: line }) => side + line)).toEqual([
      ' {',
      '   "a": 1,',
      '-  "b": 2,',
      '+  "b": 7,',
      '   "c": 3,',
      '   "d": 4,',
    ]);
  });
});

describe('a step over a list', () => {
  const forEach = { items: 'payload.list', maxParallel: 2, onFailure: 'collect' } as const;
  const retry = { ...PATIENT, maxAttempts: 1 };
  const over = define('flow', [workerStep('each', [], { forEach, retry }), workerStep('end', ['each'])]);
  const recorded = record(
    [
      { v: 1, kind: 'start', digest: over.digest, payload: { list: [1, 2, 3] } },
      succeeded('each#1'),
      failed('each#2', 1),
    ],
    over,
  );

  test('is one step of the summary, its items are counted beside it', () => {
    const summary = recorded.entries.reduce<RunSummary | undefined>(
      (s, one) => summarize(s, recorded.run, one),
      undefined,
    );
    expect(summary).toMatchObject({ open: ['each'], stepsCompleted: 0, failures: 0 });
    const view = viewRun(recorded.run, recorded.entries, over);
    expect(view.steps.map(({ name }) => name)).toEqual(['each', 'end']);
    const [each] = view.steps;
    expect(each?.items).toMatchObject({ count: 3, completed: 1, failed: 1, open: 1 });
    expect(each?.items && itemsText(each.items)).toBe('1 of 3 completed, 1 failed, 1 open');
    expect(each?.items?.list.map(({ name, status, attempts }) => [name, status, attempts.length])).toEqual([
      ['each#1', 'completed', 1],
      ['each#2', 'failed', 1],
      ['each#3', 'scheduled', 1],
    ]);
  });
});
