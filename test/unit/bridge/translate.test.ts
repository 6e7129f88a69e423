import { describe, expect, test } from 'vitest';
import { keyFromLabels, keyFromTags, tagsOf } from '../../../src/bridge/key.ts';
import {
  flowMessageId,
  flowReport,
  flowStateOf,
  literalParameters,
  observationOf,
  parametersOf,
  timeOf,
  transitionIdOf,
} from '../../../src/bridge/prefect/index.ts';
import { inputBodySchema, type StepDefinition } from '../../../src/engine/index.ts';
import { DEFINITION } from './kit.ts';

const KEY = { workflow: 'report', runId: 'r1', step: 'compute', attempt: 2 };

describe('message ids, the same from every reporter', () => {
  test.each([
    ['RUNNING', 'Running', 'flow:f1:RUNNING'],
    ['RUNNING', 'RUNNING', 'flow:f1:RUNNING'],
    ['RUNNING', 'Retrying', 'flow:f1:RUNNING:Retrying'],
    ['SCHEDULED', 'Late', 'flow:f1:SCHEDULED:Late'],
  ] as const)('%s named %s', (type, name, id) => {
    expect(flowMessageId('f1', { type, name })).toBe(id);
  });

  test('without a flow run the attempt tells them apart', () => {
    const state = { type: 'FAILED' as const, name: 'Failed', message: undefined, at: 1 };
    expect(flowReport(KEY, '', state, 'reconcile').msgId).toBe('flow:r1/compute/2:FAILED');
  });
});

test('a report is an input the engine takes', () => {
  const state = flowStateOf({
    type: 'FAILED',
    name: 'Failed',
    message: 'no',
    timestamp: '2026-01-01T00:00:00.500123Z',
  });
  const { body } = flowReport(KEY, 'f1', state, 'reconcile');
  expect(inputBodySchema.parse(JSON.parse(JSON.stringify(body)))).toEqual({
    ...{ v: 1, kind: 'flow', step: 'compute', attempt: 2, flowRunId: 'f1', source: 'reconcile' },
    state: { type: 'FAILED', name: 'Failed', message: 'no', at: Date.UTC(2026, 0, 1, 0, 0, 0, 500) },
  });
});

test('a message of any length fits into a message of NATS', () => {
  const state = { type: 'FAILED' as const, name: 'Failed', message: 'x'.repeat(2_000_000), timestamp: '' };
  expect(flowStateOf(state).message).toHaveLength(4_000);
});

test('a time that cannot be read loses against any other', () => {
  expect([timeOf('nonsense'), timeOf(null), timeOf(undefined)]).toEqual([0, 0, 0]);
});

test('transition ids are UUIDs, the same for the same transition', () => {
  const id = transitionIdOf('f1', 'CANCELLED');
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(transitionIdOf('f1', 'CANCELLED')).toBe(id);
  expect(transitionIdOf('f1', 'CANCELLING')).not.toBe(id);
});

describe('events', () => {
  const event = {
    id: 'e1',
    event: 'prefect.flow-run.Late',
    occurred: '2026-01-01T00:00:01Z',
    resource: {
      'prefect.resource.id': 'prefect.flow-run.f1',
      'prefect.state-name': 'Late',
      'prefect.state-type': 'SCHEDULED',
      'prefect.state-message': '',
      'prefect.state-timestamp': '2026-01-01T00:00:00Z',
    } as Record<string, string | null>,
    related: [
      { 'prefect.resource.id': 'prefect.flow.x', 'prefect.resource.role': 'flow' },
      ...tagsOf(KEY).map((tag) => ({ 'prefect.resource.id': `prefect.tag.${tag}`, 'prefect.resource.role': 'tag' })),
    ],
  };

  test('the type comes from the label, not from the name of the event', () => {
    expect(observationOf(event)).toEqual({
      eventId: 'e1',
      occurredAt: Date.UTC(2026, 0, 1, 0, 0, 1),
      key: KEY,
      flowRunId: 'f1',
      state: { type: 'SCHEDULED', name: 'Late', message: undefined, at: Date.UTC(2026, 0, 1) },
    });
  });

  test.each([
    ['somebody else’s flow run', { ...event, related: [] }],
    ['a task run', { ...event, resource: { ...event.resource, 'prefect.resource.id': 'prefect.task-run.t1' } }],
    ['a type we do not know', { ...event, resource: { ...event.resource, 'prefect.state-type': 'DANCING' } }],
    ['no type', { ...event, resource: { 'prefect.resource.id': 'prefect.flow-run.f1' } }],
  ])('%s is no observation', (_what, other) => {
    expect(observationOf(other)).toBeUndefined();
  });
});

describe('keys in tags and labels', () => {
  test('come back as they went, among a deployment’s own', () => {
    expect(keyFromTags(['nightly', ...tagsOf(KEY)])).toEqual(KEY);
    const labels = { 'millrace.workflow': 'report', 'millrace.run': 'r1', 'millrace.step': 'compute' };
    expect(keyFromLabels({ ...labels, 'millrace.attempt': 2 })).toEqual(KEY);
  });

  test.each([
    ['without ours', tagsOf(KEY).filter((tag) => tag !== 'millrace')],
    ['without a run', tagsOf(KEY).filter((tag) => !tag.startsWith('run:'))],
    ['with an attempt that is none', ['millrace', 'run:r1', 'workflow:w', 'step:s', 'attempt:x']],
  ])('%s: none', (_what, tags) => {
    expect(keyFromTags(tags)).toBeUndefined();
  });
});

describe('parameters', () => {
  const [step] = DEFINITION.steps as [StepDefinition];

  test('are the step’s input when it says `with`, else one parameter', () => {
    expect(parametersOf(step, { payload: 1 })).toEqual({ input: { payload: 1 } });
    expect(parametersOf({ ...step, with: { day: 'payload.day' } }, { day: 'x' })).toEqual({ day: 'x' });
  });

  test('that look like Prefect’s placeholders travel as text, the others as they are', () => {
    const odd = { rows: [{ __prefect_kind: 'workspace_variable', variable_name: 'secret' }] };
    expect(literalParameters({ odd, plain: { a: [1, null, 'x'] } })).toEqual({
      odd: { __prefect_kind: 'json', value: JSON.stringify(odd) },
      plain: { a: [1, null, 'x'] },
    });
  });
});
