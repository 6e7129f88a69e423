/** The one switch: what each outcome means for the next look. */
import { describe, expect, test } from 'vitest';
import { Requeue } from '../../../src/bridge/reconcile/requeue.ts';
import { MillraceError } from '../../../src/kernel/index.ts';
import { type Labels, noTelemetry } from '../../../src/telemetry/index.ts';

const KEY = { workflow: 'report', runId: 'r1', step: 'compute', attempt: 1 };
const BACKOFF = { initialMs: 500, factor: 2, maxMs: 30_000, jitter: 0 };

function requeue() {
  const counted: string[] = [];
  const count = (name: string, labels?: Labels) => void counted.push(`${name} ${labels?.['outcome']}`);
  const telemetry = { ...noTelemetry, metrics: { ...noTelemetry.metrics, count } };
  return { it: new Requeue(telemetry, BACKOFF), counted };
}

test('done and terminal: no more', () => {
  const { it } = requeue();
  expect(it.delayOf(KEY, { kind: 'done' })).toBeUndefined();
  expect(it.delayOf(KEY, { kind: 'terminal', reason: 'no use' })).toBeUndefined();
});

test('after: when it says, within bounds', () => {
  const { it } = requeue();
  expect([0, 700, 3_600_000].map((ms) => it.delayOf(KEY, { kind: 'after', ms }))).toEqual([50, 700, 60_000]);
});

test('retry: longer each time up to the cap, from the start again after a success', () => {
  const { it } = requeue();
  const retry = () => it.delayOf(KEY, { kind: 'retry', reason: 'down' });
  expect(Array.from({ length: 8 }, retry)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  it.delayOf(KEY, { kind: 'done' });
  expect(retry()).toBe(500);
  expect(it.delayOf({ ...KEY, runId: 'other' }, { kind: 'retry', reason: 'down' })).toBe(500);
});

describe('what a handler throws', () => {
  test.each([
    ['an error whose class says terminal', new MillraceError('MR_DEFINITION_MISSING', 'gone'), undefined],
    ['an error whose class says retry', new MillraceError('MR_PREFECT_UNREACHABLE', 'down'), 500],
    ['anything else', new Error('bug'), 500],
  ])('%s', async (_what, error, delay) => {
    const { it, counted } = requeue();
    expect(await it.run(() => Promise.reject(error), KEY, undefined)).toBe(delay);
    expect(counted).toEqual([`millrace_reconcile_total ${delay === undefined ? 'terminal' : 'retry'}`]);
  });
});

test('each branch is counted', async () => {
  const { it, counted } = requeue();
  for (const outcome of [{ kind: 'done' }, { kind: 'after', ms: 1 }] as const) {
    await it.run(async () => outcome, KEY, undefined);
  }
  expect(counted).toEqual(['millrace_reconcile_total done', 'millrace_reconcile_total after']);
});
