/** Timeouts to full depth: waiting in the queue, silence, and timers that were moved (M7). */
import { describe, expect, test } from 'vitest';
import { at, began, failure, fired, given, heartbeat, started, succeeded } from '../../kit/spec.ts';
import { define, PATIENT, workerStep } from '../../kit/workflows.ts';

const input = { payload: null, steps: {} };

describe('queueTimeout', () => {
  const queued = define('queued', [workerStep('a', [], { queueTimeoutMs: 3_000, timeoutMs: 10_000 })]);

  test('ends the attempt that no worker began, for good: the next would stand in the same queue', () => {
    const error = failure({
      code: 'MR_QUEUE_TIMEOUT',
      message: 'no worker began attempt 1 within 3000 ms',
      hint: 'see whether workers take from its queue, and whether there are enough of them',
      retryable: false,
    });
    given(queued, started())
      .when(fired('queue/a/1'))
      .stores(
        { type: 'TimerFired', timer: 'queue/a/1' },
        { type: 'StepFailed', step: 'a', attempt: 1, error },
        { type: 'RunFailed', error, step: 'a' },
      );
  });

  test('is over when the attempt begins, and then its own time runs', () => {
    given(queued, started())
      .when(began('a', 1))
      .stores(
        { type: 'StepStarted', step: 'a', attempt: 1, worker: 'w1' },
        { type: 'TimerCancelled', timer: 'queue/a/1' },
        { type: 'TimerSet', timer: 'timeout/a/1', at: at(2) + 10_000 },
      )
      .when(succeeded('a', 1))
      .leaves('completed', { a: 'completed 1' });
  });

  test('without it the time of an attempt runs from being handed out', () => {
    given(define('plain', [workerStep('a', [], { timeoutMs: 10_000 })]), started())
      .when(began('a', 1))
      .leaves('running', { a: 'running 1' }, ['timeout/a/1']);
  });
});

describe('heartbeatTimeout', () => {
  const beating = define('beating', [
    workerStep('a', [], { heartbeatTimeoutMs: 4_000, retry: { ...PATIENT, maxAttempts: 1, maxLost: 1 } }),
  ]);

  test('runs from the begin, and anew from each heartbeat', () => {
    given(beating, started())
      .when(began('a', 1))
      .stores(
        { type: 'StepStarted', step: 'a', attempt: 1, worker: 'w1' },
        { type: 'TimerSet', timer: 'heartbeat/a/1', at: at(2) + 4_000 },
      )
      .when(heartbeat('a', 1, { row: 7 }))
      .stores(
        { type: 'StepHeartbeat', step: 'a', attempt: 1, details: { row: 7 } },
        { type: 'TimerSet', timer: 'heartbeat/a/1', at: at(3) + 4_000 },
      );
  });

  test('silence is a lost attempt, and the next one has the progress of the one before', () => {
    given(beating, started(), began('a', 1), heartbeat('a', 1, { row: 7 }))
      .when(fired('heartbeat/a/1', at(3) + 4_000))
      .leaves('running', { a: 'backoff 1' }, ['retry/a/1'])
      .when(fired('retry/a/1'))
      .commands([
        {
          kind: 'task',
          queue: 'q',
          handler: 'a',
          step: 'a',
          attempt: 2,
          input,
          idempotencyKey: 'r1/a',
          heartbeatMs: 4_000,
          progress: { row: 7 },
        },
      ]);
  });

  test('a firing from before the last heartbeat ends nothing, and makes sure that the timer stands', () => {
    given(beating, started(), began('a', 1), heartbeat('a', 1))
      .when(fired('heartbeat/a/1', at(2) + 4_000))
      .stores({ type: 'TimerSet', timer: 'heartbeat/a/1', at: at(3) + 4_000 });
  });

  test('a first sign of life before the report of the start begins the attempt', () => {
    given(beating, started())
      .when(heartbeat('a', 1, 1, 'w9'))
      .stores(
        { type: 'StepHeartbeat', step: 'a', attempt: 1, details: 1 },
        { type: 'StepStarted', step: 'a', attempt: 1, worker: 'w9' },
        { type: 'TimerSet', timer: 'heartbeat/a/1', at: at(2) + 4_000 },
      )
      .when(began('a', 1))
      .storesNothing();
  });

  test.each([
    ['a late one', [started(), succeeded('a', 1)], heartbeat('a', 1)],
    ['one of another attempt', [started()], heartbeat('a', 2)],
    ['one of a step that does not exist', [started()], heartbeat('x', 1)],
  ])('%s changes nothing (M1)', (_, before, beat) => {
    given(beating, ...before)
      .when(beat)
      .storesNothing();
  });
});

test('progress is kept without a heartbeat timeout, a bare sign of life is not', () => {
  const { story } = given(define('plain', [workerStep('a')]), started(), began('a', 1))
    .when(heartbeat('a', 1, 3))
    .stores({ type: 'StepHeartbeat', step: 'a', attempt: 1, details: 3 })
    .when(heartbeat('a', 1))
    .storesNothing();
  expect(story.state.steps['a']?.progress).toBe(3);
});
