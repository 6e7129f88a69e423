/** Cancelling, retrying by hand, and the trace a run continues (M3, M4, M5). */
import { describe, expect, test } from 'vitest';
import { parseTraceparent } from '../../../src/telemetry/index.ts';
import { cancelled, failed, failure, fired, given, retried, started, succeeded } from '../../kit/spec.ts';
import { define, workerStep } from '../../kit/workflows.ts';

const pair = define('pair', [workerStep('a'), workerStep('b', [], { timeoutMs: 100 }), workerStep('c', ['a'])]);
const final = { retryable: false };

describe('cancel', () => {
  test('ends all that is open and tells the workers', () => {
    given(pair, started(), failed('a', 1))
      .when(cancelled('enough'))
      .stores(
        { type: 'StepCancelled', step: 'a', attempt: 1, reason: 'enough' },
        { type: 'StepCancelled', step: 'b', attempt: 1, reason: 'enough' },
        { type: 'TimerCancelled', timer: 'timeout/b/1' },
        { type: 'TimerCancelled', timer: 'retry/a/1' },
        { type: 'RunCancelled', reason: 'enough' },
      )
      .commands([
        { kind: 'task.cancel', step: 'b', attempt: 1, reason: 'enough' },
        { kind: 'timer.cancel', timer: 'timeout/b/1' },
        { kind: 'timer.cancel', timer: 'retry/a/1' },
      ]);
  });

  test.each([
    ['a second one', [started(), cancelled()]],
    ['one before the start', []],
    ['one after the failure', [started(), failed('a', 1, final)]],
    ['one after the end', [started(), succeeded('a', 1), succeeded('b', 1), succeeded('c', 1)]],
  ])('%s changes nothing (M4)', (_, before) => {
    given(pair, ...before)
      .when(cancelled())
      .storesNothing();
  });

  test('a result afterwards counts for nothing', () => {
    given(pair, started(), cancelled()).when(succeeded('b', 1)).storesNothing();
  });
});

describe('retry by hand', () => {
  test('begins again what failed or was cancelled, with new attempts (M3)', () => {
    given(pair, started(), failed('a', 1, final))
      .when(retried())
      .stores(
        { type: 'RunRetried', steps: ['a', 'b'] },
        { type: 'StepScheduled', step: 'a', attempt: 2, input: { payload: null, steps: {} } },
        { type: 'StepScheduled', step: 'b', attempt: 2, input: { payload: null, steps: {} } },
        { type: 'TimerSet', timer: 'timeout/b/2', at: expect.any(Number) },
      );
  });

  test('keeps what was completed, and forgets the failure', () => {
    const { story } = given(pair, started(), succeeded('a', 1, 'A'), failed('b', 1, final))
      .when(retried())
      .leaves('running', { a: 'completed 1', b: 'scheduled 2', c: 'scheduled 2' }, ['timeout/b/2']);
    expect(story.state).not.toHaveProperty('error');
    expect(story.state).not.toHaveProperty('endedAt');
    expect(story.state.steps['b']).toMatchObject({ failures: 0, lost: 0 });
    expect(story.state.retries).toBe(1);
  });

  test('counts failures from zero, attempts on', () => {
    const [first, second] = [failed('a', 1), failed('a', 2)];
    const one = define('one', [workerStep('a')]);
    given(one, started(), first, fired('retry/a/1'), second, fired('retry/a/2'), failed('a', 3), retried())
      .when(failed('a', 4))
      .leaves('running', { a: 'backoff 4' }, ['retry/a/4']);
  });

  test('gives a step whose input failed another attempt number (M3)', () => {
    const broken = define('broken', [workerStep('a', [], { with: { x: 'payload.missing' } })]);
    given(broken, started({})).when(retried()).leaves('failed', { a: 'failed 2' });
  });

  test('the result of an attempt from before counts for nothing (M2)', () => {
    given(pair, started(), failed('a', 1, final), retried())
      .when(succeeded('b', 1))
      .storesNothing();
  });

  test.each([
    ['a run that runs', [started()]],
    ['a run that there is not', []],
    ['a completed run', [started(), succeeded('a', 1), succeeded('b', 1), succeeded('c', 1)]],
  ])('of %s changes nothing', (_, before) => {
    given(pair, ...before)
      .when(retried())
      .storesNothing();
  });

  test('may end a second time, once', () => {
    given(pair, started(), cancelled(), retried(), failed('a', 2, final))
      .when(failed('b', 2, final))
      .storesNothing()
      .leaves('failed', { a: 'failed 2', b: 'cancelled 2' });
  });
});

describe('the trace of a run', () => {
  const traceOf = (trace: { traceparent: string }) =>
    given(pair).when(started(null, { trace })).story.state.trace?.traceparent;

  test('is that of its message', () => {
    const own = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-00`;
    expect(traceOf({ traceparent: own })).toBe(own);
  });

  test.each(['', 'junk', `00-${'0'.repeat(32)}-${'2'.repeat(16)}-01`, `00-${'1'.repeat(32)}-${'0'.repeat(16)}-01`])(
    'is derived from the run when the message carries "%s"',
    (traceparent) => {
      const derived = traceOf({ traceparent });
      expect(parseTraceparent(derived)).toMatchObject({ sampled: true });
      expect(traceOf({ traceparent })).toBe(derived);
    },
  );
});

test('a failure keeps its words', () => {
  const error = failure({ ...final, hint: 'look there', message: 'boom' });
  const { story } = given(pair, started()).when(failed('a', 1, error));
  expect(story.state.error).toEqual(error);
  expect(story.state.failedStep).toBe('a');
});
