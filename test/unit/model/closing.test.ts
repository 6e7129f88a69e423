/** Closing a run: compensation, grace, kill (M4, M5, M8, M9). */
import { describe, expect, test } from 'vitest';
import type { CompensationDefinition, StepDefinition } from '../../../src/engine/index.ts';
import {
  at,
  cancelled,
  cancelledWithin,
  failed,
  failure,
  fired,
  flow,
  flowState,
  given,
  killed,
  resumed,
  retried,
  signalled,
  started,
  succeeded,
} from '../../kit/spec.ts';
import { define, PATIENT, workerStep } from '../../kit/workflows.ts';

const final = { retryable: false } as const;
const undo = (more: Partial<CompensationDefinition> = {}): Pick<StepDefinition, 'compensate'> => ({
  compensate: { handler: 'refund', queue: 'q', retry: PATIENT, ...more },
});
const saga = define('saga', [
  workerStep('a', [], undo()),
  workerStep('b', ['a'], undo({ with: { amount: 'steps.b.amount' } })),
  workerStep('c', ['b']),
]);
const twoDone = [started({ n: 1 }), succeeded('a', 1, 'A'), succeeded('b', 1, { amount: 7 })] as const;
const types = (story: { entries: readonly { transitions: readonly { type: string }[] }[] }): readonly string[] =>
  (story.entries.at(-1)?.transitions ?? []).map(({ type }) => type);

describe('compensation', () => {
  test('is noted when a step completes that declares one, and only then', () => {
    given(saga, started())
      .when(succeeded('a', 1, 'A'))
      .stores(
        { type: 'StepCompleted', step: 'a', attempt: 1, output: 'A', undo: true },
        { type: 'StepScheduled', step: 'b', attempt: 1, input: { payload: null, steps: { a: 'A' } } },
      );
    given(saga, ...twoDone)
      .when(succeeded('c', 1))
      .leaves('completed', { a: 'completed 1', b: 'completed 1', c: 'completed 1' });
  });

  test('runs in the reverse order of completion, one after another, and then the run has failed', () => {
    given(saga, ...twoDone)
      .when(failed('c', 1, final))
      .stores(
        { type: 'StepFailed', step: 'c', attempt: 1, error: failure(final) },
        { type: 'RunClosing', outcome: 'failed', error: failure(final), step: 'c' },
        { type: 'StepScheduled', step: 'undo:b', attempt: 1, input: { amount: 7 } },
      )
      .leaves('running', { a: 'completed 1', b: 'completed 1', c: 'failed 1', 'undo:b': 'scheduled 1' })
      .when(succeeded('undo:b', 1))
      .stores(
        { type: 'StepCompleted', step: 'undo:b', attempt: 1, output: null },
        {
          type: 'StepScheduled',
          step: 'undo:a',
          attempt: 1,
          input: { payload: { n: 1 }, input: { payload: { n: 1 }, steps: {} }, output: 'A' },
        },
      )
      .when(succeeded('undo:a', 1))
      .stores(
        { type: 'StepCompleted', step: 'undo:a', attempt: 1, output: null },
        { type: 'RunFailed', error: failure(final), step: 'c' },
      )
      .leaves('failed', {
        a: 'compensated 1',
        b: 'compensated 1',
        c: 'failed 1',
        'undo:b': 'completed 1',
        'undo:a': 'completed 1',
      });
  });

  test('follows the order of completion, not that of the definition', () => {
    const branches = define('branches', [workerStep('a', [], undo()), workerStep('b', [], undo()), workerStep('c')]);
    given(branches, started(), succeeded('b', 1), succeeded('a', 1))
      .when(failed('c', 1, final))
      .leaves('running', { a: 'completed 1', b: 'completed 1', c: 'failed 1', 'undo:a': 'scheduled 1' });
  });

  test('runs for a cancel and for the timeout of the run', () => {
    given(saga, ...twoDone)
      .when(cancelled())
      .leaves('running', { a: 'completed 1', b: 'completed 1', c: 'cancelled 1', 'undo:b': 'scheduled 1' })
      .when(succeeded('undo:b', 1))
      .when(succeeded('undo:a', 1))
      .stores(
        { type: 'StepCompleted', step: 'undo:a', attempt: 1, output: null },
        { type: 'RunCancelled', reason: 'enough' },
      );
    given(define('timed', saga.steps, { timeoutMs: 60_000 }), ...twoDone)
      .when(fired('run/0'))
      .leaves('running', { a: 'completed 1', b: 'completed 1', c: 'cancelled 1', 'undo:b': 'scheduled 1' });
  });

  test('is tried again by its own policy, and when that is used up it has failed and the others go on', () => {
    const twice = define('twice', [
      workerStep('a', [], undo()),
      workerStep('b', ['a'], undo({ retry: { ...PATIENT, maxAttempts: 2 } })),
      workerStep('c', ['b']),
    ]);
    given(twice, ...twoDone, failed('c', 1, final))
      .when(failed('undo:b', 1))
      .leaves('running', { a: 'completed 1', b: 'completed 1', c: 'failed 1', 'undo:b': 'backoff 1' }, [
        'retry/undo:b/1',
      ])
      .when(fired('retry/undo:b/1'))
      .when(failed('undo:b', 2))
      .leaves('running', {
        a: 'completed 1',
        b: 'completed 1',
        c: 'failed 1',
        'undo:b': 'failed 2',
        'undo:a': 'scheduled 1',
      })
      .when(succeeded('undo:a', 1))
      .stores(
        { type: 'StepCompleted', step: 'undo:a', attempt: 1, output: null },
        { type: 'RunFailed', error: failure(final), step: 'c' },
      );
  });

  test('waits for a person when its policy says so', () => {
    const careful = define('careful', [
      workerStep('a', [], undo({ retry: { ...PATIENT, maxAttempts: 1, onExhausted: 'pause' } })),
      workerStep('b', ['a']),
    ]);
    given(careful, started(), succeeded('a', 1), failed('b', 1, final))
      .when(failed('undo:a', 1))
      .leaves('running', { a: 'completed 1', b: 'failed 1', 'undo:a': 'paused 1' })
      .when(cancelled())
      .storesNothing()
      .when(resumed('undo:a'))
      .leaves('running', { a: 'completed 1', b: 'failed 1', 'undo:a': 'scheduled 2' })
      .when(succeeded('undo:a', 2))
      .leaves('failed', { a: 'compensated 1', b: 'failed 1', 'undo:a': 'completed 2' });
  });

  test('whose input cannot be computed has failed, and the others go on', () => {
    const broken = define('broken', [
      workerStep('a', [], undo()),
      workerStep('b', ['a'], undo({ with: { x: 'payload.missing.x' } })),
      workerStep('c', ['b']),
    ]);
    const { story } = given(broken, ...twoDone).when(failed('c', 1, final));
    expect(types(story)).toEqual(['StepFailed', 'RunClosing', 'StepFailed', 'StepScheduled']);
    expect(story.state.steps['undo:b']?.error?.code).toBe('MR_EXPRESSION');
  });

  test('a retry of the run does again what was compensated, under another key, and that may be undone again', () => {
    const ended = [...twoDone, failed('c', 1, final), succeeded('undo:b', 1), succeeded('undo:a', 1)];
    const task = { kind: 'task', queue: 'q' } as const;
    given(saga, ...ended)
      .when(retried())
      .stores(
        { type: 'RunRetried', steps: ['a', 'b', 'c', 'undo:b', 'undo:a'] },
        { type: 'StepScheduled', step: 'a', attempt: 2, input: { payload: { n: 1 }, steps: {} } },
      )
      .commands([
        {
          ...task,
          handler: 'a',
          step: 'a',
          attempt: 2,
          input: { payload: { n: 1 }, steps: {} },
          idempotencyKey: 'r1/a~1',
        },
      ])
      .when(succeeded('a', 2, 'A2'))
      .when(failed('b', 2, final))
      .commands([
        { kind: 'task.cancel', step: 'b', attempt: 2, reason: 'no' },
        {
          ...task,
          handler: 'refund',
          step: 'undo:a',
          attempt: 2,
          input: { payload: { n: 1 }, input: { payload: { n: 1 }, steps: {} }, output: 'A2' },
          idempotencyKey: 'r1/undo:a~1',
        },
      ]);
  });

  test('a step whose compensation failed stays completed, and is compensated by the next end of the run', () => {
    const once = define('once', [workerStep('a', [], undo()), workerStep('b', ['a'])]);
    given(once, started(), succeeded('a', 1), failed('b', 1, final), failed('undo:a', 1, final))
      .when(retried())
      .leaves('running', { a: 'completed 1', b: 'scheduled 2', 'undo:a': 'pending 1' })
      .when(failed('b', 2, final))
      .leaves('running', { a: 'completed 1', b: 'failed 2', 'undo:a': 'scheduled 2' });
  });
});

describe('a grace time', () => {
  const pair = define('pair', [
    workerStep('a', [], { timeoutMs: 50_000 }),
    workerStep('b'),
    workerStep('c', ['a']),
    { ...workerStep('s'), action: { kind: 'signal', name: 'go', onTimeout: 'fail', timeoutMs: 9_000 } },
  ]);
  const closing = [started(), cancelledWithin(30_000)] as const;

  test('lets what is out end: the rest is cancelled, the attempts are told', () => {
    given(pair, started())
      .when(cancelledWithin(30_000))
      .stores(
        { type: 'StepCancelled', step: 's', attempt: 1, reason: 'enough' },
        { type: 'TimerCancelled', timer: 'signal/s/1' },
        { type: 'RunClosing', outcome: 'cancelled', reason: 'enough', graceMs: 30_000 },
        { type: 'TimerSet', timer: 'grace/0', at: at(2) + 30_000 },
      )
      .commands([
        { kind: 'timer.cancel', timer: 'signal/s/1' },
        { kind: 'task.cancel', step: 'a', attempt: 1, reason: 'enough', graceMs: 30_000 },
        { kind: 'task.cancel', step: 'b', attempt: 1, reason: 'enough', graceMs: 30_000 },
        { kind: 'timer', timer: 'grace/0', at: at(2) + 30_000 },
      ]);
  });

  test('counts what comes in time, begins nothing more, and is over with the last report', () => {
    given(pair, ...closing)
      .when(succeeded('a', 1, 1))
      .stores(
        { type: 'TimerCancelled', timer: 'timeout/a/1' },
        { type: 'StepCompleted', step: 'a', attempt: 1, output: 1 },
      )
      .when(failed('b', 1, { code: 'MR_CANCELLED', message: 'stopped', retryable: false }))
      .stores(
        { type: 'StepCancelled', step: 'b', attempt: 1, reason: 'stopped' },
        { type: 'TimerCancelled', timer: 'grace/0' },
        { type: 'RunCancelled', reason: 'enough' },
      );
  });

  test('an attempt that fails in it is not tried again, a timeout in it counts', () => {
    given(pair, ...closing)
      .when(failed('b', 1))
      .leaves('running', { a: 'scheduled 1', b: 'failed 1', s: 'cancelled 1' }, ['timeout/a/1', 'grace/0'])
      .when(fired('timeout/a/1'))
      .leaves('cancelled', { a: 'failed 1', b: 'failed 1', s: 'cancelled 1' });
  });

  test('when it is over the rest is cancelled', () => {
    given(pair, ...closing, succeeded('a', 1))
      .when(fired('grace/0'))
      .stores(
        { type: 'TimerFired', timer: 'grace/0' },
        { type: 'StepCancelled', step: 'b', attempt: 1, reason: 'enough' },
        { type: 'RunCancelled', reason: 'enough' },
      );
  });

  test('a second cancel changes nothing, a signal is kept, a late result after the end counts for nothing', () => {
    given(pair, ...closing)
      .when(cancelled())
      .storesNothing()
      .when(signalled('go', 1))
      .stores({ type: 'SignalReceived', name: 'go', payload: 1 })
      .when(fired('grace/0'))
      .when(succeeded('b', 1))
      .storesNothing();
  });

  test('the workflow may declare it, and a cancel may say otherwise', () => {
    const gentle = define('gentle', pair.steps, { graceMs: 5_000 });
    given(gentle, started())
      .when(cancelled())
      .leaves('running', { a: 'scheduled 1', b: 'scheduled 1', s: 'cancelled 1' }, ['timeout/a/1', 'grace/0']);
    given(gentle, started())
      .when(cancelledWithin(0))
      .leaves('cancelled', { a: 'cancelled 1', b: 'cancelled 1', s: 'cancelled 1' });
  });

  test('is not needed when nothing is out', () => {
    given(pair, started(), succeeded('a', 1), succeeded('b', 1), succeeded('c', 1))
      .when(cancelledWithin(30_000))
      .leaves('cancelled', { a: 'completed 1', b: 'completed 1', c: 'completed 1', s: 'cancelled 1' });
  });

  test('what completed in it is compensated', () => {
    const one = define('one', [workerStep('a', [], undo())]);
    given(one, ...closing)
      .when(succeeded('a', 1))
      .leaves('running', { a: 'completed 1', 'undo:a': 'scheduled 1' });
  });

  test('a flow run that Prefect has cancelled in it is not waited for', () => {
    const flows = define('flows', [
      { ...workerStep('f'), action: { kind: 'prefect', deployment: 'f/d', pool: 'p' } },
      workerStep('w'),
    ]);
    given(flows, ...closing)
      .when(flow('f', 1, flowState('CANCELLED', 5)))
      .leaves('running', { f: 'cancelled 1', w: 'scheduled 1' }, ['grace/0'])
      .when(succeeded('w', 1))
      .leaves('cancelled', { f: 'cancelled 1', w: 'completed 1' });
    const gentle = define('gentle', flows.steps, { graceMs: 5_000 });
    given(gentle, started())
      .when(flow('f', 1, flowState('CANCELLED', 5)))
      .leaves('running', { f: 'cancelled 1', w: 'scheduled 1' }, ['grace/0']);
  });
});

describe('kill', () => {
  test.each([
    ['a running run', [...twoDone], { a: 'completed 1', b: 'completed 1', c: 'cancelled 1' }],
    [
      'one that compensates',
      [...twoDone, cancelled()],
      { a: 'completed 1', b: 'completed 1', c: 'cancelled 1', 'undo:b': 'cancelled 1' },
    ],
    [
      'one in its grace time',
      [...twoDone, cancelledWithin(9_000)],
      { a: 'completed 1', b: 'completed 1', c: 'cancelled 1' },
    ],
  ])('ends %s at once, compensates nothing', (_, before, steps) => {
    const { story } = given(saga, ...before)
      .when(killed())
      .leaves('cancelled', steps);
    expect(story.entries.at(-1)?.transitions.at(-1)).toEqual({ type: 'RunCancelled', reason: 'now', killed: true });
    expect(story.state.killed).toBe(true);
  });

  test.each([
    ['before the start', []],
    ['twice', [started(), killed()]],
    ['after the end', [...twoDone, succeeded('c', 1)]],
  ])('%s changes nothing (M4)', (_, before) => {
    given(saga, ...before)
      .when(killed())
      .storesNothing();
  });

  test('a killed run is retried as any other, and keeps what it has to undo', () => {
    given(saga, ...twoDone, killed(), retried())
      .when(failed('c', 2, final))
      .leaves('running', { a: 'completed 1', b: 'completed 1', c: 'failed 2', 'undo:b': 'scheduled 1' });
  });
});

describe('the output of a workflow', () => {
  test('is computed when the run completes', () => {
    const summed = define('summed', [workerStep('a')], { output: '{"n": steps.a.n, "from": payload.from}' });
    given(summed, started({ from: 'x' }))
      .when(succeeded('a', 1, { n: 2 }))
      .stores(
        { type: 'StepCompleted', step: 'a', attempt: 1, output: { n: 2 } },
        { type: 'RunCompleted', output: { n: 2, from: 'x' } },
      );
  });

  test('that fails fails the run, says where, and is a failure like any other', () => {
    const broken = define('broken', [workerStep('a', [], undo())], { output: 'steps.a.missing' });
    const { story } = given(broken, started())
      .when(succeeded('a', 1, {}))
      .leaves('running', { a: 'completed 1', 'undo:a': 'scheduled 1' })
      .when(succeeded('undo:a', 1))
      .leaves('failed', { a: 'compensated 1', 'undo:a': 'completed 1' });
    expect(story.state.error).toMatchObject({ code: 'MR_EXPRESSION', retryable: false });
    expect(story.state.error?.message).toMatch(/^output of the workflow: /);
  });
});
