/** Injected faults: processes die, messages come twice, answers are lost, and the run ends as if nothing had been. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { step, workflow } from '../../../src/index.ts';
import { type Injection, testEnvironment } from '../../../src/testing/index.ts';

const two = () => {
  const effects: string[] = [];
  const fn = workflow('two', {}, async (ctx) => {
    const a = await ctx.step('a', ({ idempotencyKey }) => effects.push(idempotencyKey));
    await ctx.sleep(60_000);
    const payload = await ctx.signal('go');
    const b = await ctx.step('b', ({ idempotencyKey }) => effects.push(idempotencyKey));
    return [a > 0, payload, b > 0];
  });
  return { fn, effects };
};

const INJECTIONS: readonly Injection[] = [
  { at: 'step.before', do: 'crash', name: 'a' },
  { at: 'step.after', do: 'crash', name: 'a' },
  { at: 'step.after', do: 'crash', name: 'b' },
  { at: 'append.before', do: 'crash' },
  { at: 'append.after', do: 'crash', skip: 1 },
  { at: 'append.before', do: 'conflict' },
  { at: 'append.after', do: 'lost', skip: 2 },
  { at: 'ack.before', do: 'lost', times: 3 },
  { at: 'ack.after', do: 'crash' },
  { at: 'read.before', do: 'crash' },
];

describe('a durable function', () => {
  test.each(INJECTIONS)('ends alike after %o', async (injection) => {
    const { fn, effects } = two();
    const env = await testEnvironment({ workflows: [fn] });
    env.inject(injection);
    const run = await env.start(fn, null);
    await env.advance('2 minutes');
    await run.signal('go', 7);
    expect(await run.result()).toEqual([true, 7, true]);
    expect(new Set(effects)).toEqual(new Set([`${run.runId}/a`, `${run.runId}/b`]));
    expect(env.deaths).toBe(injection.do === 'crash' ? 1 : 0);
  });

  test('goes on after everything was restarted', async () => {
    const { fn, effects } = two();
    const env = await testEnvironment({ workflows: [fn], keepResting: true });
    const run = await env.start(fn, null);
    await env.restart();
    await run.signal('go', 1);
    await env.restart();
    expect(await run.result()).toEqual([true, 1, true]);
    expect(effects).toHaveLength(2);
    expect(env.deaths).toBe(6);
  });
});

const MANIFEST = `
apiVersion: millrace/v1
kind: Workflow
metadata: {name: chain}
spec:
  steps:
    - {name: first, run: {worker: add}, with: {n: payload.n}}
    - {name: pause, needs: [first], sleep: 1h}
    - {name: second, needs: [first, pause], run: {worker: add}, with: {n: steps.first.n}}
`;

describe('a declared workflow', () => {
  test.each<Injection>([
    { at: 'step.before', do: 'crash', name: 'first' },
    { at: 'step.after', do: 'crash', name: 'second' },
    { at: 'append.before', do: 'crash', skip: 2 },
    { at: 'append.after', do: 'crash' },
    { at: 'append.before', do: 'conflict', times: 3 },
    { at: 'command.before', do: 'crash', name: 'timer' },
    { at: 'command.after', do: 'crash', name: 'task' },
    { at: 'command.after', do: 'lost', name: 'task' },
    { at: 'command.before', do: 'lost', name: 'timer' },
    { at: 'ack.before', do: 'lost', times: 4 },
    { at: 'send.before', do: 'lost' },
    { at: 'send.after', do: 'crash' },
  ])('ends alike after %o', async (injection) => {
    const keys: string[] = [];
    const add = step({
      name: 'add',
      input: z.object({ n: z.number() }),
      output: z.object({ n: z.number() }),
      run: ({ n }, { idempotencyKey }) => {
        keys.push(idempotencyKey);
        return { n: n + 1 };
      },
    });
    const env = await testEnvironment({ manifests: [MANIFEST], steps: [add] });
    env.inject(injection);
    const run = await env.start('chain', { n: 1 });
    expect((await run.ending()).status).toBe('completed');
    expect(run.state.steps['second']?.output).toEqual({ n: 3 });
    expect(new Set(keys).size).toBe(2);
    expect(env.deaths).toBe(injection.do === 'crash' ? 1 : 0);
  });
});

test('what cannot be injected is refused', async () => {
  const env = await testEnvironment({});
  expect(() => env.inject({ at: 'ack.before', do: 'conflict' })).toThrow(expect.objectContaining({ code: 'MR_USAGE' }));
  expect(() => env.inject({ at: 'step.after', do: 'fail' })).toThrow(expect.objectContaining({ code: 'MR_USAGE' }));
});
