/** `ctx.map`: the order of results, how many at once, what failures do, what a crash in the middle costs. */
import { describe, expect, test } from 'vitest';
import { type Context, StepError, workflow } from '../../../src/functions/index.ts';
import type { Json } from '../../../src/kernel/index.ts';
import { functionsInMemory } from '../../kit/functions.ts';
import { waitFor } from '../../kit/index.ts';

const mapped = (run: (ctx: Context) => Promise<Json>) => workflow<Json, Json>('mapped', {}, run);
const list = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('a map', () => {
  test('gives the results in the order of the items, however they end, and no more at once than allowed', async () => {
    const world = functionsInMemory();
    let busy = 0;
    let most = 0;
    const fn = mapped((ctx) =>
      ctx.map(
        'square',
        list(40),
        async (n, { idempotencyKey }, index) => {
          most = Math.max(most, ++busy);
          for (let turn = 0; turn < 40 - n; turn++) await null;
          busy--;
          return [n * n, index, idempotencyKey];
        },
        { maxParallel: 7 },
      ),
    );
    await world.serve('w', [fn]);
    await world.start('mapped');
    const { output } = await world.end('mapped');
    expect(output).toEqual(list(40).map((n) => [n * n, n, n === 0 ? 'r/square' : `r/square#${n + 1}`]));
    expect(most).toBe(7);
  });

  test('of nothing is nothing', async () => {
    const world = functionsInMemory();
    await world.serve('w', [mapped((ctx) => ctx.map('none', [], () => 1))]);
    await world.start('mapped');
    expect((await world.end('mapped')).output).toEqual([]);
  });

  test.each([
    [10_001, { maxParallel: 1 }, '"x" has 10001 items, and may have 10000'],
    [1, { maxParallel: 0 }, 'maxParallel of "x" is 0'],
  ])('of %i items with %o is refused', async (count, options, message) => {
    const world = functionsInMemory();
    await world.serve('w', [mapped((ctx) => ctx.map('x', list(count), () => 1, options))]);
    await world.start('mapped');
    expect((await world.end('mapped')).error).toMatchObject({ code: 'MR_USAGE', message });
  });

  test('fails with its first failure, aborts what is under way, begins no more; the same on replay', async () => {
    const world = functionsInMemory();
    const begun: number[] = [];
    const aborted: number[] = [];
    const caught: Json[] = [];
    const fn = mapped(async (ctx) => {
      try {
        await ctx.map(
          'item',
          list(100),
          async (n, { signal }) => {
            begun.push(n);
            if (n === 2) throw new StepError('x', { code: 'MR_USAGE', message: 'no', retryable: false, lost: false });
            if (n < 2) return n;
            return new Promise<number>(() => signal.addEventListener('abort', () => aborted.push(n)));
          },
          { maxParallel: 5 },
        );
      } catch (error) {
        caught.push(error instanceof StepError ? [error.step, error.message] : null);
      }
      return ctx.signal('go');
    });
    await world.serve('w', [fn], { keepResting: 0 });
    await world.start('mapped');
    await world.until('RunSuspended', 'mapped');
    await world.send('mapped', 'r', { kind: 'signal', name: 'go', payload: 1 } as never);
    const { steps } = await world.end('mapped');
    expect(caught).toEqual([
      ['item#3', 'no'],
      ['item#3', 'no'],
    ]);
    const by = (status: string): string[] => Object.keys(steps).filter((step) => steps[step]?.status === status);
    expect(begun).toEqual(list(begun.length)); // once each: the replay began none
    expect(aborted).toEqual(begun.filter((n) => n > 2));
    // Some were asked for and had not begun.
    expect(by('cancelled')).toEqual(expect.arrayContaining(aborted.map((n) => `item#${n + 1}`)));
    expect(Object.keys(steps).length).toBeLessThan(12);
    expect(by('failed')).toEqual(['item#3']);
  });

  test('that collects says of each what became of it', async () => {
    const world = functionsInMemory();
    const fn = mapped(async (ctx) => {
      const results = await ctx.map(
        'half',
        list(6),
        (n) => {
          if (n % 2 === 1) throw new Error(`${n} is odd`);
          return n / 2;
        },
        { onFailure: 'collect', retry: { maxAttempts: 1 } },
      );
      return results.map((one) => (one.ok ? one.output : one.error.failure.message));
    });
    await world.serve('w', [fn]);
    await world.start('mapped');
    expect((await world.end('mapped')).output).toEqual([0, '1 is odd', 1, '3 is odd', 2, '5 is odd']);
  });

  test('over child runs starts one per item, and ends those under way with the first failure', async () => {
    const world = functionsInMemory();
    const one = workflow<number, number>('one', {}, async (ctx, n) => {
      if (n === 3) throw new Error('not three');
      if (n > 3) await ctx.signal('never');
      return n + 1;
    });
    const fn = mapped(async (ctx) => {
      const good = await ctx.map('each', [0, 1, 2], one);
      const bad = await ctx.map('more', [2, 3, 4, 5], one, { maxParallel: 4 }).catch((error: Error) => error.message);
      return [good, bad];
    });
    await world.serve('w', [one, fn]);
    await world.start('mapped');
    const { output, steps } = await world.end('mapped');
    expect(output).toEqual([[1, 2, 3], 'not three']);
    for (const step of ['more#3', 'more#4']) {
      expect(steps[step]?.status).toBe('cancelled');
      expect((await world.end('one', steps[step]?.child?.runId)).status).toBe('cancelled');
    }
  });

  test('goes on in the middle when its process dies: what was recorded is not done again', async () => {
    const world = functionsInMemory();
    const done = new Map<number, number>();
    const fn = (stopAt: number) =>
      mapped(async (ctx) => {
        const results = await ctx.map('item', list(300), (n) => {
          if (n === stopAt) return new Promise<number>(() => {});
          done.set(n, (done.get(n) ?? 0) + 1);
          return n;
        });
        return results.length;
      });
    await world.serve('old', [fn(150)]);
    await world.start('mapped');
    await waitFor('that it is stuck', async () => {
      const { steps } = await world.state('mapped');
      return Object.values(steps).length === 299 ? true : undefined; // all others have got by the one
    });
    world.kill('old');
    await world.serve('new', [fn(-1)]);
    expect((await world.end('mapped')).output).toBe(300);
    expect([...done.values()].filter((times) => times > 1)).toEqual([]);
  });
});
