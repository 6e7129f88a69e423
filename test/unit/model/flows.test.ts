/** Prefect steps: what reports of three sources, double and out of order, mean to a run. */
import { describe, expect, test } from 'vitest';
import type { StepDefinition } from '../../../src/engine/index.ts';
import { at, cancelled, failed, failure, fired, flow, flowState, given, retried, started } from '../../kit/spec.ts';
import { define, PATIENT, workerStep } from '../../kit/workflows.ts';

const prefect = (name: string, more: Partial<StepDefinition> = {}): StepDefinition => ({
  name,
  needs: [],
  action: { kind: 'prefect', deployment: 'f/d', pool: 'p' },
  retry: PATIENT,
  ...more,
});
const one = define('one', [prefect('f'), workerStep('after', ['f'])]);
const timed = define('timed', [prefect('f', { timeoutMs: 50 })]);
const changed = (type: Parameters<typeof flowState>[0], time: number, name?: string, attempt = 1) =>
  ({
    type: 'FlowStateChanged',
    step: 'f',
    attempt,
    flowRunId: `f${attempt}`,
    state: flowState(type, time, name),
    source: 'host',
  }) as const;

describe('a flow run', () => {
  test('is asked for by key, and its states are noted', () => {
    given(one)
      .when(started())
      .commands([{ kind: 'reconcile', step: 'f', attempt: 1 }])
      .when(flow('f', 1, flowState('PENDING', 10)))
      .stores(changed('PENDING', 10))
      .when(flow('f', 1, flowState('RUNNING', 20)))
      .stores(changed('RUNNING', 20), { type: 'StepStarted', step: 'f', attempt: 1, worker: 'prefect:f1' })
      .when(flow('f', 1, flowState('COMPLETED', 30), { result: { n: 1 } }))
      .stores(
        changed('COMPLETED', 30),
        { type: 'StepCompleted', step: 'f', attempt: 1, output: { n: 1 } },
        { type: 'StepScheduled', step: 'after', attempt: 1, input: { payload: null, steps: { f: { n: 1 } } } },
      );
  });

  test('COMPLETED without a result gives null', () => {
    given(one, started())
      .when(flow('f', 1, flowState('COMPLETED', 30)))
      .leaves('running', { f: 'completed 1', after: 'scheduled 1' });
  });

  test('FAILED is a failure of the step, with what Prefect says of it', () => {
    const error = failure({ message: 'ZeroDivisionError' });
    given(one, started())
      .when(flow('f', 1, { ...flowState('FAILED', 30), message: 'ZeroDivisionError' }))
      .stores(
        { ...changed('FAILED', 30), state: { type: 'FAILED', name: 'FAILED', at: 30, message: 'ZeroDivisionError' } },
        { type: 'StepRetryScheduled', step: 'f', attempt: 1, error, retryAt: at(2) + 10 },
        { type: 'TimerSet', timer: 'retry/f/1', at: at(2) + 10 },
      )
      .commands([{ kind: 'timer', timer: 'retry/f/1', at: at(2) + 10 }]);
  });

  test('CRASHED is a lost attempt', () => {
    const { story } = given(one, started()).when(flow('f', 1, flowState('CRASHED', 30, 'Crashed')));
    expect(story.state.steps['f']).toMatchObject({
      failures: 0,
      lost: 1,
      error: failure({ code: 'MR_STEP_LOST', message: 'the flow run ended Crashed', lost: true }),
    });
  });

  test('that could not be created has no state to note, only an error', () => {
    const error = failure({ code: 'MR_DEPLOYMENT_MISSING', retryable: false });
    given(one, started())
      .when(flow('f', 1, flowState('FAILED', 5), { flowRunId: '', error, source: 'reconcile' }))
      .stores({ type: 'StepFailed', step: 'f', attempt: 1, error }, { type: 'RunFailed', error, step: 'f' });
  });

  test('that no host would take fails like a task that no worker would take', () => {
    given(one, started())
      .when(failed('f', 1, { code: 'MR_STEP_EXHAUSTED', lost: true }))
      .leaves('running', { f: 'backoff 1' }, ['retry/f/1']);
  });

  test('CANCELLED in Prefect cancels the run', () => {
    const { story } = given(one, started())
      .when(flow('f', 1, flowState('CANCELLED', 30, 'Cancelled')))
      .stores(
        changed('CANCELLED', 30, 'Cancelled'),
        { type: 'StepCancelled', step: 'f', attempt: 1, reason: 'the flow run was cancelled in Prefect' },
        { type: 'RunCancelled', reason: 'the flow run was cancelled in Prefect', by: 'prefect' },
      )
      .commands([]);
    expect(story.state.status).toBe('cancelled');
  });
});

describe('stopping a flow run', () => {
  test('a cancelled run asks for a look, once: at the end both sides are compared', () => {
    given(one, started(), flow('f', 1, flowState('RUNNING', 20)))
      .when(cancelled('enough'))
      .commands([{ kind: 'reconcile', step: 'f', attempt: 1 }])
      .when(flow('f', 1, flowState('CANCELLING', 30)))
      .stores(changed('CANCELLING', 30))
      .when(flow('f', 1, flowState('CANCELLED', 40)))
      .stores(changed('CANCELLED', 40))
      .leaves('cancelled', { f: 'cancelled 1' });
  });

  test('a timed-out attempt asks for a look, and its CANCELLED does not cancel the run', () => {
    given(timed, started(), flow('f', 1, flowState('RUNNING', 20)))
      .when(fired('timeout/f/1'))
      .commands([
        { kind: 'reconcile', step: 'f', attempt: 1 },
        { kind: 'timer', timer: 'retry/f/1', at: at(3) + 10 },
      ])
      .when(flow('f', 1, flowState('CANCELLED', 40)))
      .stores(changed('CANCELLED', 40))
      .leaves('running', { f: 'backoff 1' }, ['retry/f/1']);
  });
});

describe('reports double, late and out of order', () => {
  test('the same state of three sources is noted once', () => {
    given(one, started(), flow('f', 1, flowState('RUNNING', 20)))
      .when(flow('f', 1, flowState('RUNNING', 20), { source: 'events' }))
      .storesNothing()
      .when(flow('f', 1, flowState('RUNNING', 21), { source: 'reconcile' }))
      .storesNothing();
  });

  test('an older state after a newer one is no news', () => {
    given(one, started(), flow('f', 1, flowState('RUNNING', 20)))
      .when(flow('f', 1, flowState('PENDING', 10)))
      .storesNothing();
  });

  test('an end counts though its clock is behind', () => {
    given(one, started(), flow('f', 1, flowState('RUNNING', 20)))
      .when(flow('f', 1, flowState('COMPLETED', 19)))
      .leaves('running', { f: 'completed 1', after: 'scheduled 1' });
  });

  test('no state takes an end back: a flow run retried in Prefect is not the step any more', () => {
    given(one, started(), flow('f', 1, flowState('FAILED', 30)))
      .when(flow('f', 1, flowState('SCHEDULED', 40, 'AwaitingRetry')))
      .storesNothing()
      .when(flow('f', 1, flowState('RUNNING', 50, 'Retrying')))
      .storesNothing()
      .when(flow('f', 1, flowState('COMPLETED', 60)))
      .stores(changed('COMPLETED', 60))
      .leaves('running', { f: 'backoff 1' }, ['retry/f/1'])
      .when(flow('f', 1, flowState('FAILED', 30, 'again')))
      .storesNothing();
  });

  test("Prefect's own retries inside one flow run are one attempt of ours", () => {
    given(one, started(), flow('f', 1, flowState('RUNNING', 20)))
      .when(flow('f', 1, flowState('SCHEDULED', 30, 'AwaitingRetry')))
      .stores(changed('SCHEDULED', 30, 'AwaitingRetry'))
      .when(flow('f', 1, flowState('RUNNING', 40, 'Retrying')))
      .stores(changed('RUNNING', 40, 'Retrying'))
      .leaves('running', { f: 'running 1' });
  });

  test('a report of an attempt to come is refused', () => {
    given(one, started())
      .when(flow('f', 2, flowState('COMPLETED', 30)))
      .storesNothing();
  });

  test('a run retried while its flow run still runs: the old one ends unheard, the new one counts', () => {
    given(one, started(), flow('f', 1, flowState('RUNNING', 20)), cancelled())
      .when(retried())
      .commands([{ kind: 'reconcile', step: 'f', attempt: 2 }])
      .when(flow('f', 1, flowState('COMPLETED', 50)))
      .stores(changed('COMPLETED', 50))
      .leaves('running', { f: 'scheduled 2' })
      .when(flow('f', 2, flowState('COMPLETED', 60)))
      .leaves('running', { f: 'completed 2', after: 'scheduled 1' });
  });
});
