/** Given / when / then for histories, and whether new code fits them. */
import { describe, expect, test } from 'vitest';
import { type Context, workflow } from '../../../src/index.ts';
import {
  assertReplays,
  failed,
  given,
  givenRun,
  signal,
  start,
  succeeded,
  testEnvironment,
  timer,
} from '../../../src/testing/index.ts';
import { at } from '../../../src/testing/story.ts';
import { define, workerStep } from '../../kit/workflows.ts';

const chain = define('chain', [workerStep('a'), workerStep('b', ['a'])]);

describe('given, when, then', () => {
  test('of a declared workflow compares exactly', () => {
    given(chain, start(), succeeded('a', 1))
      .when(succeeded('b', 1, 7))
      .stores({ type: 'StepCompleted', step: 'b', attempt: 1, output: 7 }, { type: 'RunCompleted' })
      .sends()
      .leaves('completed', { a: 'completed', b: 'completed' });
    given(chain, start())
      .when(failed('a', 1))
      .leaves('running', { a: 'backoff' })
      .when(timer('retry/a/1'))
      .sends({
        kind: 'task',
        queue: 'q',
        handler: 'a',
        step: 'a',
        attempt: 2,
        input: { payload: null, steps: {} },
        idempotencyKey: 'r1/a',
      })
      .when(succeeded('a', 1))
      .stores();
    expect(at(2) - at(1)).toBe(1_000);
  });

  test('of a declared workflow says what is different', () => {
    const outcome = given(chain, start()).when(succeeded('a', 1));
    expect(() => outcome.stores()).toThrow(/StepCompleted/);
    expect(() => outcome.sends()).toThrow(/task/);
    expect(() => outcome.leaves('completed', {})).toThrow(/running/);
  });

  test('of a function goes on from its history', async () => {
    const fn = workflow('fn', {}, async (ctx) => {
      const payload = await ctx.signal('go');
      return ctx.step('end', () => payload);
    });
    const env = await testEnvironment({ workflows: [fn] });
    const { history } = await env.start(fn, null);
    const outcome = () => givenRun(fn, history).when(signal('go', 3));
    await outcome().stores(
      { type: 'RunClaimed', worker: 'functions-2' },
      { type: 'SignalReceived', name: 'go', payload: 3 },
      { type: 'SignalConsumed', name: 'go', step: 'signal:go' },
      { type: 'StepCompleted', step: 'signal:go', attempt: 1, output: 3 },
      { type: 'StepCompleted', step: 'end', attempt: 1, output: 3 },
      { type: 'RunCompleted', output: 3 },
    );
    await expect(outcome().stores()).rejects.toThrow(/RunClaimed/);
  });
});

describe('assertReplays', () => {
  const charged = async (ctx: Context): Promise<unknown> => {
    await ctx.step('charge', () => 1);
    await ctx.sleep(60_000);
    return ctx.step('ship', () => 2);
  };
  const historyAfter = async (minutes: number) => {
    const fn = workflow('order', {}, charged);
    const env = await testEnvironment({ workflows: [fn] });
    const run = await env.start(fn, null);
    await env.advance(minutes * 60_000);
    return run.history;
  };

  test.each([0, 2])('passes for code that asks for the same, after %d minutes', async (minutes) => {
    const history = await historyAfter(minutes);
    let effects = 0;
    const same = workflow('order', {}, async (ctx) => {
      await ctx.step('charge', () => effects++);
      await ctx.sleep(60_000);
      return ctx.step('ship', () => 2);
    });
    await assertReplays(history, same);
    expect(effects).toBe(0);
  });

  test.each([
    [
      0,
      'asks for another step',
      (ctx: Context) => ctx.step('bill', () => 1),
      /has "charge" as result 1; the code asks for "bill"/,
    ],
    [0, 'returns at once', async () => 'x', /has "charge" as result 1; the code ends the run/],
    [
      0,
      'waits for something else',
      async (ctx: Context) => {
        await ctx.step('charge', () => 1);
        return ctx.signal('go');
      },
      /waits for "sleep"; the code asks for "signal:go"/,
    ],
    [0, 'hangs', () => new Promise(() => {}), /the code does not ask for it/],
    [
      2,
      'gives something else',
      async (ctx: Context) => {
        await charged(ctx);
        return 'other';
      },
      /"output":2\}; the code gives \{.*"output":"other"/,
    ],
    [
      2,
      'asks for more',
      async (ctx: Context) => {
        await charged(ctx);
        return ctx.step('more', () => 1);
      },
      /ends with RunCompleted; the code asks for "more"/,
    ],
  ])('after %d minutes, refuses code that %s', async (minutes, _, code, message) => {
    const history = await historyAfter(minutes);
    await expect(assertReplays(history, workflow('order', {}, code as never))).rejects.toThrow(message);
  });

  test('decides a declared workflow again', async () => {
    const env = await testEnvironment({ definitions: [chain] });
    env.mock('a', () => 1);
    env.mock('b', () => 2);
    const run = await env.start(chain.name);
    await run.ending();
    await assertReplays(run.history, chain);
    const other = define('chain', [workerStep('a'), workerStep('b', ['a']), workerStep('c', ['a'])]);
    await expect(assertReplays(run.history, other)).rejects.toThrow(/would be decided differently[\s\S]*c/);
  });
});
