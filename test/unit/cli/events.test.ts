/** What `millrace events tail` makes of a message. */
import { describe, expect, test } from 'vitest';
import { EVENT_KINDS, type EventFilter, isWanted, stateChangeOf } from '../../../src/cli/events/event.ts';

const all: EventFilter = { kinds: new Set(EVENT_KINDS) };
const FLOW = {
  v: 1,
  ...{ workflow: 'report', runId: 'r1', step: 'compute', attempt: 1, flowRunId: 'f1' },
  state: { type: 'FAILED', name: 'Failed', message: 'row 3', at: 1_000 },
};
const PREFECT = {
  id: 'e1',
  event: 'prefect.flow-run.Late',
  occurred: '2026-01-01T00:00:00Z',
  resource: { 'prefect.resource.id': 'prefect.flow-run.f2', 'prefect.state-name': 'Late', 'prefect.state-message': '' },
};
const change = (subject: string, body: unknown) => stateChangeOf(subject, 7, 5_000, JSON.stringify(body));

describe('a message as a state change', () => {
  test("the flow host's", () => {
    expect(change('evt.flow.report.r1.compute.FAILED', FLOW)).toMatchObject({
      kind: 'flow',
      ...{ workflow: 'report', runId: 'r1', step: 'compute', flowRunId: 'f1' },
      ...{ state: 'Failed', message: 'row 3', at: 1_000, seq: 7 },
    });
  });

  test("a run's has no step", () => {
    const seen = change('evt.run.report.r1.cancelled', { at: 3, reason: 'enough' });
    expect(seen).toMatchObject({ kind: 'run', state: 'cancelled', message: 'enough', at: 3 });
    expect(seen).not.toHaveProperty('step');
  });

  test("Prefect's own", () => {
    expect(change('prefect.flow-run.SCHEDULED.nightly.f2', PREFECT)).toMatchObject({
      kind: 'prefect',
      ...{ state: 'Late', deployment: 'nightly', flowRunId: 'f2', at: Date.parse(PREFECT.occurred) },
    });
    expect(change('prefect.flow-run.SCHEDULED._.f2', PREFECT)).not.toHaveProperty('deployment');
  });

  test.each([
    ['not JSON', 'evt.run.report.r1.started', '{'],
    ['another subject', 'wf.report.in.r1', '{}'],
    ['another event of Prefect', 'prefect.events.work-pool.ready.p', '{}'],
    ['a kind that is none', 'evt.constructor.report.r1.x', '{}'],
  ])('%s is none', (_what, subject, data) => {
    expect(stateChangeOf(subject, 1, 1, data)).toBeUndefined();
  });

  test.each([null, 3, [], 'text', { state: 3, error: null, at: 'x', flowRunId: 7 }])('a strange body %j', (body) => {
    expect(change('evt.step.report.r1.compute.failed', body)).toMatchObject({ state: 'failed', at: 5_000 });
  });
});

describe('the filter', () => {
  const late = change('prefect.flow-run.SCHEDULED.nightly.f2', PREFECT);
  const failed = change('evt.flow.report.r1.compute.FAILED', FLOW);

  test.each([
    ['nothing asked', {}, [true, true]],
    ['a state by its name', { states: new Set(['late']) }, [true, false]],
    ['a state by its type', { states: new Set(['scheduled', 'failed']) }, [true, true]],
    ['a deployment', { deployment: 'nightly' }, [true, false]],
    ['a workflow', { workflow: 'report' }, [false, true]],
    ['a run', { run: 'r2' }, [false, false]],
    ['a flow run', { flowRun: 'f1' }, [false, true]],
    ['a kind', { kinds: new Set(['prefect'] as const) }, [true, false]],
  ])('%s', (_what, filter, wanted) => {
    expect([late, failed].map((one) => one !== undefined && isWanted(one, { ...all, ...filter }))).toEqual(wanted);
  });
});
