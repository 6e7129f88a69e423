/** The edges of the model: bytes that become inputs, entries of other versions, names of timers. */
import { describe, expect, test } from 'vitest';
import {
  flowStateSchema,
  inputBodySchema,
  parseTimer,
  taskMessageSchema,
  timerId,
  upcastEntry,
} from '../../../src/engine/index.ts';

const nested = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
const start = { v: 1, kind: 'start', digest: 'd', payload: null };

describe('input schema', () => {
  test.each([
    ['start', start],
    ['a signal with a large payload', { v: 1, kind: 'signal', name: 's', payload: Array(1e5).fill({ a: [1, 'x'] }) }],
    [
      'a failure with defaults',
      { v: 1, kind: 'task.failed', step: 's', attempt: 1, error: { code: 'c', message: 'm' } },
    ],
  ])('takes %s', (_, body) => {
    expect(inputBodySchema.safeParse(body).success).toBe(true);
  });

  test.each([
    ['no object', 7],
    ['an unknown kind', { v: 1, kind: 'dance' }],
    ['another version', { ...start, v: 2 }],
    ['no payload', { v: 1, kind: 'start', digest: 'd' }],
    ['attempt 0', { v: 1, kind: 'task.succeeded', step: 's', attempt: 0, output: null }],
    ['a payload nested too deep', { ...start, payload: nested(201) }],
    ['a payload nested far too deep', { ...start, payload: nested(100_000) }],
  ])('refuses %s', (_, body) => {
    expect(inputBodySchema.safeParse(body).success).toBe(false);
  });

  test('takes a payload nested as deep as is allowed', () => {
    expect(inputBodySchema.safeParse({ ...start, payload: nested(200) }).success).toBe(true);
  });

  test('fills in what a failure leaves out', () => {
    const body = inputBodySchema.parse({
      v: 1,
      kind: 'task.failed',
      step: 's',
      attempt: 1,
      error: { code: 'c', message: 'm' },
    });
    expect(body).toStrictEqual({
      v: 1,
      kind: 'task.failed',
      step: 's',
      attempt: 1,
      error: { code: 'c', message: 'm', retryable: true, lost: false },
    });
  });

  test('adds no member that JSON would lose', () => {
    expect(flowStateSchema.parse({ type: 'RUNNING', name: 'Running', at: 1 })).toStrictEqual({
      type: 'RUNNING',
      name: 'Running',
      at: 1,
    });
    const failing = inputBodySchema.parse({ v: 1, kind: 'cancel', reason: 'r' });
    expect(Object.keys(failing)).toEqual(['v', 'kind', 'reason']);
  });

  test('a task message is checked, too', () => {
    const task = {
      v: 1,
      workflow: 'w',
      runId: 'r',
      step: 's',
      attempt: 1,
      handler: 'h',
      input: {},
      idempotencyKey: 'k',
    };
    expect(taskMessageSchema.safeParse(task).success).toBe(true);
    expect(taskMessageSchema.safeParse({ ...task, input: undefined }).success).toBe(false);
  });
});

describe('log entries', () => {
  test('of this version are read as they are', () => {
    const entry = { v: 1, cause: 3, at: 5, transitions: [{ type: 'RunCompleted' }] };
    expect(upcastEntry(entry)).toStrictEqual(entry);
  });

  test.each([
    [{ v: 2, cause: 3, at: 5, transitions: [] }],
    [{ v: 1, cause: 'x', at: 5, transitions: [] }],
    ['text'],
    [null],
  ])('such as %j are corrupt', (value) => {
    expect(() => upcastEntry(value)).toThrow(expect.objectContaining({ code: 'MR_JOURNAL_CORRUPT' }));
  });
});

describe('timer ids', () => {
  test.each([
    [{ kind: 'run', retries: 0 } as const, 'run/0'],
    [{ kind: 'retry', step: 'a-b_c', attempt: 12 } as const, 'retry/a-b_c/12'],
  ])('%j is %s and back', (name, id) => {
    expect(timerId(name)).toBe(id);
    expect(parseTimer(id)).toEqual(name);
  });

  test.each(['', 'sleep', 'sleep/a', 'unknown/a/1'])('"%s" names no timer', (id) => {
    expect(parseTimer(id)).toBeUndefined();
  });
});
