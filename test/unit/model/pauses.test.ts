/** Retry to full depth: time of all attempts, hopeless codes, the error's own delay, and steps that wait for a person. */
import { describe, expect, test } from 'vitest';
import { at, cancelled, failed, failure, fired, given, resumed, retried, started, succeeded } from '../../kit/spec.ts';
import { define, PATIENT, workerStep } from '../../kit/workflows.ts';

const retry = { ...PATIENT, initialMs: 1_000, maxMs: 1_000, maxAttempts: 2 };
const hopeless = { retryable: false } as const;
const input = { payload: null, steps: {} };

describe('maxElapsed', () => {
  const step = define('elapsed', [workerStep('a', [], { retry: { ...retry, maxAttempts: 9, maxElapsedMs: 2_500 } })]);

  test('is counted from the first attempt: a next one that would begin later is not made', () => {
    given(step)
      .when(started())
      .stores(
        {
          type: 'RunStarted',
          digest: step.digest,
          payload: null,
          trace: { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
        },
        { type: 'StepScheduled', step: 'a', attempt: 1, input, since: at(1) },
      )
      .when(failed('a', 1))
      .leaves('running', { a: 'backoff 1' }, ['retry/a/1'])
      .when(fired('retry/a/1'))
      .stores({ type: 'TimerFired', timer: 'retry/a/1' }, { type: 'StepScheduled', step: 'a', attempt: 2, input })
      .when(failed('a', 2))
      .stores(
        { type: 'StepFailed', step: 'a', attempt: 2, error: failure() },
        { type: 'RunFailed', error: failure(), step: 'a' },
      );
  });

  test('begins anew when the run is retried by hand', () => {
    given(step, started(), failed('a', 1, hopeless), retried())
      .when(failed('a', 2))
      .leaves('running', { a: 'backoff 2' }, ['retry/a/2']);
  });
});

describe('an error says what to do', () => {
  const picky = define('picky', [
    workerStep('a', [], { retry: { ...retry, nonRetryable: ['CARD_DECLINED', 'CardStolen'] } }),
  ]);

  test('a code that no attempt can help ends the step', () => {
    given(picky, started())
      .when(failed('a', 1, { code: 'CARD_DECLINED' }))
      .leaves('failed', { a: 'failed 1' });
  });

  test('and so does the class of an error', () => {
    given(picky, started())
      .when(failed('a', 1, { type: 'CardStolen' }))
      .leaves('failed', { a: 'failed 1' });
  });

  test('another code is tried again', () => {
    given(picky, started())
      .when(failed('a', 1, { code: 'CARD_READER_BUSY' }))
      .leaves('running', { a: 'backoff 1' }, ['retry/a/1']);
  });

  test('a retry-after stands in for the backoff', () => {
    given(picky, started())
      .when(failed('a', 1, { retryAfterMs: 90_000 }))
      .commands([
        { kind: 'task.cancel', step: 'a', attempt: 1, reason: 'no' },
        { kind: 'timer', timer: 'retry/a/1', at: at(2) + 90_000 },
      ]);
  });
});

describe('a step that pauses', () => {
  const patient = define('patient', [
    workerStep('a', [], { retry: { ...retry, maxAttempts: 1, onExhausted: 'pause' } }),
    workerStep('b'),
    workerStep('c', ['a']),
  ]);
  const paused = [started(), failed('a', 1)] as const;

  test('leaves the run open when its attempts are used up, and the other branches go on', () => {
    given(patient, started())
      .when(failed('a', 1))
      .stores({ type: 'StepPaused', step: 'a', attempt: 1, error: failure() })
      .when(succeeded('b', 1))
      .leaves('running', { a: 'paused 1', b: 'completed 1' });
  });

  test('pauses as well for what no attempt can help', () => {
    given(patient, started())
      .when(failed('a', 1, hopeless))
      .leaves('running', { a: 'paused 1', b: 'scheduled 1' });
  });

  test('is scheduled anew when a person resumes it, with its failures forgotten', () => {
    const { story } = given(patient, ...paused)
      .when(resumed('a'))
      .stores({ type: 'StepResumed', step: 'a' }, { type: 'StepScheduled', step: 'a', attempt: 2, input })
      .leaves('running', { a: 'scheduled 2', b: 'scheduled 1' });
    expect(story.state.steps['a']?.failures).toBe(0);
  });

  test('is resumed with all others when no step is named', () => {
    given(patient, ...paused)
      .when({ v: 1, kind: 'resume', by: 'ann' })
      .stores({ type: 'StepResumed', step: 'a', by: 'ann' }, { type: 'StepScheduled', step: 'a', attempt: 2, input });
  });

  test.each([
    ['another step', paused, 'b'],
    ['a run that is not paused', [started()], undefined],
    ['an ended run', [...paused, cancelled()], undefined],
    ['a second time', [...paused, resumed('a')], 'a'],
  ])('a resume of %s changes nothing (M1)', (_, before, step) => {
    given(patient, ...before)
      .when(resumed(step))
      .storesNothing();
  });

  test('a late result of the attempt that failed counts for nothing (M2)', () => {
    given(patient, ...paused)
      .when(succeeded('a', 1))
      .storesNothing();
  });

  test('is closed by a cancel, and by the timeout of the run (M5)', () => {
    given(patient, ...paused)
      .when(cancelled())
      .leaves('cancelled', { a: 'cancelled 1', b: 'cancelled 1' });
    const timed = define('timed', patient.steps, { timeoutMs: 5_000 });
    given(timed, ...paused)
      .when(fired('run/0'))
      .leaves('failed', { a: 'cancelled 1', b: 'cancelled 1' });
  });

  test('is run again by a retry after the cancel', () => {
    given(patient, ...paused, cancelled())
      .when(retried())
      .leaves('running', { a: 'scheduled 2', b: 'scheduled 2' });
  });
});
