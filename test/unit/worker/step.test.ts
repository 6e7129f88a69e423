/** Steps as values. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { noTelemetry } from '../../../src/telemetry/index.ts';
import { callStep, type StepCall, step } from '../../../src/worker/index.ts';

const call: StepCall = {
  workflow: 'w',
  runId: 'r',
  step: 's',
  attempt: 2,
  idempotencyKey: 'r/s',
  signal: new AbortController().signal,
  progress: undefined,
  heartbeat: () => undefined,
  log: noTelemetry.log,
};

const double = (given: (n: number) => unknown = (n) => 2 * n) =>
  step({
    name: 'math.double',
    input: z.object({ n: z.coerce.number() }),
    output: z.number().max(100),
    run: ({ n }, { idempotencyKey }) => (idempotencyKey === 'r/s' ? (given(n) as number) : -1),
  });

describe('a step', () => {
  test('gets what its schema makes of the input, and gives what its schema lets through', async () => {
    expect(await callStep(double(), { n: '4' }, call)).toBe(8);
    expect(double()).toMatchObject({ kind: 'step', queue: 'default' });
  });

  test.each([
    ['MR_INPUT_INVALID', double(), { n: 'x' }, 'input of math.double: n: '],
    ['MR_OUTPUT_INVALID', double(), { n: 60 }, 'output of math.double: '],
    ['MR_OUTPUT_INVALID', double(() => 'text'), { n: 1 }, 'output of math.double: '],
  ])('that does not fit is refused for good: %s', async (code, one, input, message) => {
    await expect(callStep(one, input, call)).rejects.toMatchObject({
      code,
      next: 'terminal',
      message: expect.stringContaining(message),
    });
  });

  test.each([
    { name: 'a b', queue: 'q' },
    { name: '', queue: 'q' },
    { name: 'a..b', queue: 'q' },
    { name: 'a', queue: 'q.r' },
  ])('cannot be named so: %o', (names) => {
    expect(() => step({ ...names, input: z.null(), output: z.null(), run: () => null })).toThrow(
      expect.objectContaining({ code: 'MR_USAGE', hint: expect.stringContaining('letters') }),
    );
  });
});
