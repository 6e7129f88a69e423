/** Every example: in peace, and with every fault at every point. */
import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { step, workflow } from '../../src/index.ts';
import { everyFault, type Scenario, testEnvironment } from '../../src/testing/index.ts';
import { EXAMPLES } from '../kit/examples.ts';

describe.each(Object.entries(EXAMPLES))('%s', (_, { scenario, gives }) => {
  test('does what it says', async () => {
    const env = await testEnvironment(scenario.environment());
    expect(await scenario.play(env)).toEqual(gives);
    expect(env.warnings).toEqual([]);
  });

  test('does so whatever step fails, is repeated or crashes, at every point', async () => {
    const { plays, findings } = await everyFault(scenario);
    expect(findings).toEqual([]);
    expect(plays).toBeGreaterThan(20);
  });
});

test('every example has a scenario, and a page', () => {
  const folders = readdirSync('examples', { withFileTypes: true }).flatMap((one) =>
    one.isDirectory() ? [one.name] : [],
  );
  expect(folders).toHaveLength(6);
  for (const folder of folders) {
    expect(Object.keys(EXAMPLES).some((name) => name.startsWith(folder))).toBe(true);
    expect(existsSync(`examples/${folder}/README.md`)).toBe(true);
  }
});

describe('the harness finds', () => {
  const careless = (run: (key: string) => unknown): Scenario => {
    let calls = 0;
    return {
      environment: () => {
        calls = 0;
        const once = step({
          name: 'once',
          input: z.null(),
          output: z.number(),
          run: (_input, { idempotencyKey }) => {
            run(idempotencyKey);
            return ++calls;
          },
        });
        return { workflows: [workflow('careless', {}, (ctx) => ctx.step(once, null))] };
      },
      play: async (env) => (await env.start('careless', null)).result(),
    };
  };

  test('an effect that happens twice when it is repeated', async () => {
    const { findings } = await everyFault(careless(() => {}));
    expect(findings.join('\n')).toMatch(/crash at step\.after number 1: gave 2 instead of 1/);
  });

  test('a step that is not tried again', async () => {
    const fn = workflow('once', {}, (ctx) => ctx.step('a', () => 1, { retry: { maxAttempts: 1 } }));
    const scenario = {
      environment: () => ({ workflows: [fn] }),
      play: async (env: Awaited<ReturnType<typeof testEnvironment>>) => (await env.start(fn, null)).result(),
    };
    expect((await everyFault(scenario)).findings.join('\n')).toMatch(/fail at step\.before number 1/);
    expect((await everyFault({ ...scenario, once: ['a'] })).findings).toEqual([]);
  });
});
