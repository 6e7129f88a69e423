/** Sleeping, waiting for signals, and the time limit of a run (M5, M6, M7). */
import { describe, expect, test } from 'vitest';
import type { StepDefinition } from '../../../src/engine/index.ts';
import {
  at,
  cancelled,
  failed,
  failure,
  fired,
  given,
  retried,
  signalled,
  started,
  succeeded,
  TRACE,
} from '../../kit/spec.ts';
import { define, PATIENT, workerStep } from '../../kit/workflows.ts';

const asleep = (name: string, needs: readonly string[], ms: number): StepDefinition => ({
  name,
  needs,
  action: { kind: 'sleep', ms },
  retry: PATIENT,
});
const wait = (name: string, needs: readonly string[], more: object = {}): StepDefinition => ({
  name,
  needs,
  action: { kind: 'signal', name: 'ok', onTimeout: 'continue', ...more } as StepDefinition['action'],
  retry: PATIENT,
});

describe('a sleep', () => {
  const nap = define('nap', [asleep('nap', [], 60_000), workerStep('a', ['nap'])]);

  test('sets a timer at the server and goes on when it fires', () => {
    given(nap)
      .when(started())
      .stores(
        { type: 'RunStarted', digest: nap.digest, payload: null, trace: TRACE },
        { type: 'SleepStarted', step: 'nap', attempt: 1 },
        { type: 'TimerSet', timer: 'sleep/nap/1', at: at(1) + 60_000 },
      )
      .when(fired('sleep/nap/1'))
      .stores(
        { type: 'TimerFired', timer: 'sleep/nap/1' },
        { type: 'StepCompleted', step: 'nap', attempt: 1, output: null },
        { type: 'StepScheduled', step: 'a', attempt: 1, input: { payload: null, steps: { nap: null } } },
      );
  });

  test('of a cancelled run does not wake it', () => {
    given(nap, started(), cancelled()).when(fired('sleep/nap/1')).storesNothing();
  });
});

describe('a wait for a signal', () => {
  const quick = define('quick', [wait('gate', []), workerStep('a', ['gate'])]);
  const limited = (onTimeout: 'continue' | 'fail') =>
    define('limited', [wait('gate', [], { timeoutMs: 9_000, onTimeout }), workerStep('a', ['gate'])]);
  const output = { received: true, payload: 'yes' };

  test('ends with the signal', () => {
    given(quick, started())
      .when(signalled('ok', 'yes'))
      .stores(
        { type: 'SignalReceived', name: 'ok', payload: 'yes' },
        { type: 'SignalConsumed', name: 'ok', step: 'gate' },
        { type: 'StepCompleted', step: 'gate', attempt: 1, output },
        { type: 'StepScheduled', step: 'a', attempt: 1, input: { payload: null, steps: { gate: output } } },
      );
  });

  test('another signal is kept, not taken (M6)', () => {
    const { story } = given(quick, started()).when(signalled('no', 1)).stores({
      type: 'SignalReceived',
      name: 'no',
      payload: 1,
    });
    expect(story.state.signals).toEqual([{ name: 'no', payload: 1 }]);
  });

  test('a signal before the start waits for its step (M6)', () => {
    given(quick, signalled('ok', 'yes'))
      .when(started())
      .stores(
        { type: 'RunStarted', digest: quick.digest, payload: null, trace: TRACE },
        { type: 'SignalAwaited', step: 'gate', attempt: 1, name: 'ok' },
        { type: 'SignalConsumed', name: 'ok', step: 'gate' },
        { type: 'StepCompleted', step: 'gate', attempt: 1, output },
        { type: 'StepScheduled', step: 'a', attempt: 1, input: { payload: null, steps: { gate: output } } },
      );
  });

  test('each signal ends one wait, the oldest first (M6)', () => {
    const twice = define('twice', [workerStep('a'), wait('g1', ['a']), wait('g2', ['a'])]);
    const { story } = given(twice, started(), signalled('ok', 1), signalled('ok', 2), signalled('ok', 3))
      .when(succeeded('a', 1))
      .leaves('completed', { a: 'completed 1', g1: 'completed 1', g2: 'completed 1' });
    expect([story.state.steps['g1']?.output, story.state.steps['g2']?.output]).toEqual([
      { received: true, payload: 1 },
      { received: true, payload: 2 },
    ]);
  });

  test('the signal cancels the limit', () => {
    given(limited('continue'), started())
      .when(signalled('ok', 'yes'))
      .leaves('running', { gate: 'completed 1', a: 'scheduled 1' }, [])
      .when(fired('signal/gate/1'))
      .storesNothing();
  });

  test('a limit that decides: goes on with received false', () => {
    const none = { received: false, payload: null };
    given(limited('continue'), started())
      .when(fired('signal/gate/1'))
      .stores(
        { type: 'TimerFired', timer: 'signal/gate/1' },
        { type: 'StepCompleted', step: 'gate', attempt: 1, output: none },
        { type: 'StepScheduled', step: 'a', attempt: 1, input: { payload: null, steps: { gate: none } } },
      );
  });

  test('a limit that fails: fails step and run, without another attempt', () => {
    const error = failure({
      code: 'MR_SIGNAL_TIMEOUT',
      message: 'no signal "ok" came within 9000 ms',
      retryable: false,
    });
    given(limited('fail'), started())
      .when(fired('signal/gate/1'))
      .stores(
        { type: 'TimerFired', timer: 'signal/gate/1' },
        { type: 'StepFailed', step: 'gate', attempt: 1, error },
        { type: 'RunFailed', error, step: 'gate' },
      );
  });

  test('a signal to a failed run waits for the retry; one to a completed run is nothing (M6)', () => {
    const late = define('late', [workerStep('a'), wait('gate', ['a'])]);
    given(late, started(), failed('a', 1, { retryable: false }))
      .when(signalled('ok', 1))
      .stores({ type: 'SignalReceived', name: 'ok', payload: 1 })
      .when(retried())
      .when(succeeded('a', 2))
      .leaves('completed', { a: 'completed 2', gate: 'completed 1' })
      .when(signalled('ok', 2))
      .storesNothing();
  });
});

describe('the time limit of a run', () => {
  const limited = define('limited', [workerStep('a', [], { timeoutMs: 500 }), asleep('nap', [], 99_000)], {
    timeoutMs: 30_000,
    deadLetter: true,
  });
  const error = failure({ code: 'MR_RUN_TIMEOUT', message: 'the run did not end within 30000 ms', retryable: false });
  const source = { stream: 'S', sequence: 5, subject: 's', trigger: 't', storedAt: 1 };

  test('ends it, with all that is open, and keeps its message', () => {
    given(limited, started(null, { source }))
      .when(fired('run/0'))
      .stores(
        { type: 'TimerFired', timer: 'run/0' },
        { type: 'StepCancelled', step: 'a', attempt: 1, reason: error.message },
        { type: 'StepCancelled', step: 'nap', attempt: 1, reason: error.message },
        { type: 'TimerCancelled', timer: 'timeout/a/1' },
        { type: 'TimerCancelled', timer: 'sleep/nap/1' },
        { type: 'RunFailed', error },
      )
      .commands([
        { kind: 'task.cancel', step: 'a', attempt: 1, reason: error.message },
        { kind: 'timer.cancel', timer: 'timeout/a/1' },
        { kind: 'timer.cancel', timer: 'sleep/nap/1' },
        { kind: 'dead', error, source },
      ]);
  });

  test('without a source message there is no dead letter', () => {
    const { story } = given(limited, started()).when(fired('run/0'));
    expect(story.state.status).toBe('failed');
    given(limited, started())
      .when(fired('run/0'))
      .commands([
        { kind: 'task.cancel', step: 'a', attempt: 1, reason: error.message },
        { kind: 'timer.cancel', timer: 'timeout/a/1' },
        { kind: 'timer.cancel', timer: 'sleep/nap/1' },
      ]);
  });

  test('begins anew with a retry by hand; the old limit is none any more', () => {
    given(limited, started(), fired('run/0'))
      .when(retried())
      .leaves('running', { a: 'scheduled 2', nap: 'waiting 2' }, ['run/1', 'timeout/a/2', 'sleep/nap/2'])
      .when(fired('run/0'))
      .storesNothing();
  });
});
