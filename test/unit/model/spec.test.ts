/** The negative twin of the whole given/when/then kit: it must be able to fail. */
import { describe, expect, test } from 'vitest';
import { given, started, succeeded, TRACE } from '../../kit/spec.ts';
import { define, workerStep } from '../../kit/workflows.ts';

const one = define('one', [workerStep('a')]);
const runStarted = { type: 'RunStarted', digest: one.digest, payload: null, trace: TRACE } as const;
const scheduled = { type: 'StepScheduled', step: 'a', attempt: 1, input: { payload: null, steps: {} } } as const;

describe('the spec kit', () => {
  test('passes when all transitions are named in order', () => {
    given(one).when(started()).stores(runStarted, scheduled);
  });

  test.each([
    ['one is missing', [runStarted]],
    ['the order is another', [scheduled, runStarted]],
    ['one is too many', [runStarted, scheduled, scheduled]],
    ['a member differs', [runStarted, { ...scheduled, attempt: 2 }]],
    ['a member is undefined where none should be', [runStarted, { ...scheduled, extra: undefined }]],
  ])('fails when %s', (_, expected) => {
    expect(() =>
      given(one)
        .when(started())
        .stores(...expected),
    ).toThrow();
  });

  test('fails when something is stored that should not be', () => {
    expect(() => given(one).when(started()).storesNothing()).toThrow();
  });

  test('fails when the commands differ', () => {
    expect(() =>
      given(one, started())
        .when(succeeded('a', 1))
        .commands([{ kind: 'timer.cancel', timer: 'x' }]),
    ).toThrow();
  });

  test('fails when the state afterwards is another', () => {
    const outcome = given(one, started()).when(succeeded('a', 1));
    outcome.leaves('completed', { a: 'completed 1' });
    expect(() => outcome.leaves('running', { a: 'completed 1' })).toThrow();
    expect(() => outcome.leaves('completed', { a: 'scheduled 1' })).toThrow();
    expect(() => outcome.leaves('completed', { a: 'completed 1' }, ['run/0'])).toThrow();
  });
});
