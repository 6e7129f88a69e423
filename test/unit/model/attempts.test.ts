/** Attempts: retry, backoff, lost ones, timeouts, late and duplicate reports (M2, M3, M7). */
import { describe, expect, test } from 'vitest';
import { at, began, failed, failure, fired, given, started, succeeded } from '../../kit/spec.ts';
import { define, PATIENT, workerStep } from '../../kit/workflows.ts';

const retry = { ...PATIENT, initialMs: 100, factor: 2, maxMs: 300, maxAttempts: 4, maxLost: 2 };
const one = define('one', [workerStep('a', [], { retry })]);
const input = { payload: null, steps: {} };
const timed = define('timed', [workerStep('a', [], { retry, timeoutMs: 5_000 }), workerStep('b')]);

describe('a failed attempt', () => {
  test('is followed by the next after its backoff, with the same input', () => {
    given(one, started())
      .when(failed('a', 1))
      .stores(
        { type: 'StepRetryScheduled', step: 'a', attempt: 1, error: failure(), retryAt: at(2) + 100 },
        { type: 'TimerSet', timer: 'retry/a/1', at: at(2) + 100 },
      )
      .commands([
        { kind: 'task.cancel', step: 'a', attempt: 1, reason: 'no' },
        { kind: 'timer', timer: 'retry/a/1', at: at(2) + 100 },
      ])
      .when(fired('retry/a/1'))
      .stores({ type: 'TimerFired', timer: 'retry/a/1' }, { type: 'StepScheduled', step: 'a', attempt: 2, input })
      .leaves('running', { a: 'scheduled 2' });
  });

  test('waits longer each time, up to the limit', () => {
    const { entries } = given(
      one,
      started(),
      failed('a', 1),
      fired('retry/a/1'),
      failed('a', 2),
      fired('retry/a/2'),
    ).when(failed('a', 3)).story;
    const waits = entries.flatMap((entry) =>
      entry.transitions.flatMap((t) => (t.type === 'StepRetryScheduled' ? [t.retryAt - entry.at] : [])),
    );
    expect(waits).toEqual([100, 200, 300]);
  });

  test('of the last attempt fails step and run', () => {
    const patient = define('patient', [workerStep('a', [], { retry: { ...retry, maxAttempts: 1 } }), workerStep('b')]);
    given(patient, started())
      .when(failed('a', 1))
      .stores(
        { type: 'StepFailed', step: 'a', attempt: 1, error: failure() },
        { type: 'StepCancelled', step: 'b', attempt: 1, reason: 'step "a" failed' },
        { type: 'RunFailed', error: failure(), step: 'a' },
      )
      .commands([
        { kind: 'task.cancel', step: 'a', attempt: 1, reason: 'no' },
        { kind: 'task.cancel', step: 'b', attempt: 1, reason: 'step "a" failed' },
      ]);
  });

  test('that cannot be helped is not tried again, lost or not', () => {
    given(one, started())
      .when(failed('a', 1, { retryable: false }))
      .leaves('failed', { a: 'failed 1' });
    given(one, started())
      .when(failed('a', 1, { retryable: false, lost: true }))
      .leaves('failed', { a: 'failed 1' });
  });
});

describe('lost attempts', () => {
  test('are counted apart from failed ones', () => {
    const { story } = given(one, started(), failed('a', 1, { lost: true }), fired('retry/a/1')).when(failed('a', 2));
    expect(story.state.steps['a']).toMatchObject({ failures: 1, lost: 1, status: 'backoff' });
  });

  test('of more than the policy allows fail the step', () => {
    const lost = { lost: true };
    given(one, started(), failed('a', 1, lost), fired('retry/a/1'), failed('a', 2, lost), fired('retry/a/2'))
      .when(failed('a', 3, lost))
      .leaves('failed', { a: 'failed 3' });
  });
});

describe('the timeout of an attempt', () => {
  test('is set with the attempt and cancelled by its end', () => {
    given(timed)
      .when(started())
      .leaves('running', { a: 'scheduled 1', b: 'scheduled 1' }, ['timeout/a/1'])
      .when(succeeded('a', 1))
      .stores(
        { type: 'TimerCancelled', timer: 'timeout/a/1' },
        { type: 'StepCompleted', step: 'a', attempt: 1, output: null },
      )
      .commands([{ kind: 'timer.cancel', timer: 'timeout/a/1' }]);
  });

  test('counts as a failure of the step, and its worker is told to stop', () => {
    const error = failure({ code: 'MR_STEP_TIMEOUT', message: 'attempt 1 did not end within 5000 ms' });
    given(timed, started(), began('a', 1))
      .when(fired('timeout/a/1'))
      .stores(
        { type: 'TimerFired', timer: 'timeout/a/1' },
        { type: 'StepRetryScheduled', step: 'a', attempt: 1, error, retryAt: at(3) + 100 },
        { type: 'TimerSet', timer: 'retry/a/1', at: at(3) + 100 },
      )
      .commands([
        { kind: 'task.cancel', step: 'a', attempt: 1, reason: error.message },
        { kind: 'timer', timer: 'retry/a/1', at: at(3) + 100 },
      ])
      .when(fired('retry/a/1'))
      .leaves('running', { a: 'scheduled 2', b: 'scheduled 1' }, ['timeout/a/2']);
  });

  test('of a failed attempt that nothing follows leaves no timer', () => {
    given(timed, started())
      .when(failed('b', 1, { retryable: false }))
      .stores(
        { type: 'StepFailed', step: 'b', attempt: 1, error: failure({ retryable: false }) },
        { type: 'StepCancelled', step: 'a', attempt: 1, reason: 'step "b" failed' },
        { type: 'TimerCancelled', timer: 'timeout/a/1' },
        { type: 'RunFailed', error: failure({ retryable: false }), step: 'b' },
      );
  });
});

describe('reports that are late, early, double or strange (M2)', () => {
  const backoff = [started(), failed('a', 1)] as const;

  test('begun: noted once', () => {
    given(one, started())
      .when(began('a', 1, 'w7'))
      .stores({ type: 'StepStarted', step: 'a', attempt: 1, worker: 'w7' })
      .when(began('a', 1, 'w8'))
      .storesNothing();
  });

  test.each([
    ['a success during backoff', [...backoff], succeeded('a', 1)],
    ['a failure during backoff', [...backoff], failed('a', 1)],
    ['a success of an earlier attempt', [...backoff, fired('retry/a/1')], succeeded('a', 1)],
    ['a success of a later attempt', [started()], succeeded('a', 2)],
    ['a second success', [started(), succeeded('a', 1)], succeeded('a', 1)],
    ['a failure after the success', [started(), succeeded('a', 1)], failed('a', 1)],
    ['a beginning after the end', [started(), succeeded('a', 1)], began('a', 1)],
    ['a report before the start', [], succeeded('a', 1)],
    ['a timer twice', [...backoff, fired('retry/a/1')], fired('retry/a/1')],
    ['a timer that was never set', [started()], fired('retry/a/1')],
    ['a timer of no known kind', [started()], fired('moon/a/1')],
    ['a timer of no known step', [started()], fired('sleep/zz/1')],
    ['a flow report for a worker step', [started()], FLOW()],
  ])('%s changes nothing', (_, before, late) => {
    given(one, ...before)
      .when(late)
      .storesNothing();
  });

  test('the twin: the report of the attempt that is out counts', () => {
    given(one, ...backoff, fired('retry/a/1'))
      .when(succeeded('a', 2))
      .leaves('completed', { a: 'completed 2' });
  });
});

function FLOW() {
  const state = { type: 'COMPLETED', name: 'Completed', at: 1 } as const;
  return { v: 1, kind: 'flow', step: 'a', attempt: 1, flowRunId: 'f', state, source: 'host' } as const;
}

describe('a short attempt, reported once by its result', () => {
  const begun = (startedAt: number) => ({ worker: 'w1', startedAt });

  test('has the history of one whose start was reported', () => {
    given(one, started())
      .when({ ...succeeded('a', 1, 7), ...begun(at(1) + 400) })
      .stores(
        { type: 'StepStarted', step: 'a', attempt: 1, worker: 'w1', startedAt: at(1) + 400 },
        { type: 'StepCompleted', step: 'a', attempt: 1, output: 7 },
        { type: 'RunCompleted' },
      )
      .commands(
        [
          {
            kind: 'event',
            of: 'step',
            step: 'a',
            event: 'started',
            data: { attempt: 1, worker: 'w1', startedAt: at(1) + 400 },
          },
          { kind: 'event', of: 'step', step: 'a', event: 'completed', data: { attempt: 1 } },
          { kind: 'event', of: 'run', event: 'completed', data: {} },
        ],
        { events: true },
      );
  });

  test('that fails has its start as well', () => {
    given(one, started())
      .when({ ...failed('a', 1), ...begun(at(2)) })
      .stores(
        { type: 'StepStarted', step: 'a', attempt: 1, worker: 'w1', startedAt: at(2) },
        { type: 'StepRetryScheduled', step: 'a', attempt: 1, error: failure(), retryAt: at(2) + 100 },
        { type: 'TimerSet', timer: 'retry/a/1', at: at(2) + 100 },
      );
  });

  test.each([
    ['before it was handed out', at(1) - 5_000, at(1)],
    ['after its end', at(2) + 5_000, at(2)],
  ])('by a clock that says it began %s: within the journal’s times', (_, told, kept) => {
    const { state } = given(one, started()).when({ ...succeeded('a', 1), ...begun(told) }).story;
    expect(state.steps['a']?.startedAt).toBe(kept);
  });

  test('whose start is known already is not started again (negative twin)', () => {
    given(one, started(), began('a', 1))
      .when({ ...succeeded('a', 1), ...begun(at(1)) })
      .stores({ type: 'StepCompleted', step: 'a', attempt: 1, output: null }, { type: 'RunCompleted' })
      .leaves('completed', { a: 'completed 1' });
  });

  test('of an attempt that is not out counts for nothing (M2)', () => {
    given(one, started())
      .when({ ...succeeded('a', 2), ...begun(at(1)) })
      .storesNothing();
  });
});
