/** Old journals of durable functions are a contract, too: see test/histories/README.md. */
import { describe, expect, test } from 'vitest';
import { workflow } from '../src/index.ts';
import { assertReplays, testEnvironment } from '../src/testing/index.ts';
import { FUNCTION_STORIES, readFunctionHistories } from './kit/function-histories.ts';

const histories = readFunctionHistories();

describe('recorded histories of durable functions', () => {
  test('are there, with the functions that wrote them', () => {
    expect(histories.map(({ name }) => name).sort()).toEqual(Object.keys(FUNCTION_STORIES).sort());
  });

  describe.each(histories)('$name', ({ name, history }) => {
    const fn = FUNCTION_STORIES[name]?.fn ?? workflow(name, {}, async () => null);

    test('replays the same', async () => {
      await assertReplays(history, fn);
    });

    test('is found out when the code is another', async () => {
      const other = workflow(fn.name, {}, (ctx) => ctx.step('something-else', () => 1));
      await expect(assertReplays(history, other)).rejects.toThrow(/does not replay/);
    });
  });

  test('a run that was open goes on in this version, to its end', async () => {
    const waits = histories.find(({ name }) => name === 'order-waits');
    const fn = FUNCTION_STORIES['order-waits']?.fn;
    if (waits === undefined || fn === undefined) throw new Error('it is not recorded');
    const env = await testEnvironment({ workflows: [fn] });
    const run = env.load(waits.history);
    await run.signal('approved', true);
    expect(await run.result()).toBe('shipped p-5');
  });
});
