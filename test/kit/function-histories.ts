/**
 * Durable functions whose journals are recorded in test/histories/functions. A function here is never changed: it is what wrote
 * the history beside it, and every later version must be able to go on with that.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { ServedFunction } from '../../src/functions/index.ts';
import { type Context, NonRetryableError, step, workflow } from '../../src/index.ts';
import type { RunHistory, TestEnvironment, TestRun } from '../../src/testing/index.ts';
import { ROOT } from './tidy/index.ts';

const charge = step({
  name: 'charge',
  input: z.object({ cents: z.number() }),
  output: z.object({ payment: z.string() }),
  run: ({ cents }, { attempt }) => {
    if (attempt === 1) throw new Error('the bank does not answer');
    return { payment: `p-${cents}` };
  },
});

const order = workflow('order', {}, async (ctx, input: { cents: number }) => {
  const { payment } = await ctx.step(charge, input);
  await ctx.sleep(90_000);
  const approved = await ctx.signal<boolean>('approved', { timeoutMs: 86_400_000 });
  return approved ? ctx.step('ship', () => `shipped ${payment}`) : 'refused';
});

const branches = workflow('branches', {}, async (ctx) => {
  const slow = async (): Promise<number> => {
    await ctx.sleep(5_000, 'pause');
    return ctx.step('part', () => 1);
  };
  const parts = await Promise.all([slow(), ctx.step('part', () => 2), ctx.step('part', () => 3)]);
  const first = await Promise.race([ctx.signal('go'), ctx.sleep(60_000, 'limit').then(() => 'too late')]);
  return { parts, first, drawn: [ctx.random(), ctx.uuid()], at: ctx.now() };
});

const paused = workflow('paused', {}, (ctx) =>
  ctx.step(
    'pay',
    ({ attempt }) => {
      if (attempt < 3) throw new Error('no money');
      return attempt;
    },
    { retry: { maxAttempts: 2, initialMs: 1_000, jitter: 0, onExhausted: 'pause' } },
  ),
);

const caught = async (ctx: Context): Promise<string> => {
  try {
    await ctx.step('refuse', () => {
      throw new NonRetryableError('not today');
    });
  } catch (error) {
    await ctx.step('note', () => String(error));
  }
  throw new NonRetryableError('it failed in the end');
};

const failing = workflow('failing', {}, caught);

/** A function, and how its run went until it was recorded. */
export interface FunctionStory {
  /** What it is there to keep. */
  readonly about: string;
  readonly fn: ServedFunction;
  readonly play: (env: TestEnvironment) => Promise<TestRun<unknown>>;
}

/** By the name of the file. */
export const FUNCTION_STORIES: Readonly<Record<string, FunctionStory>> = {
  'order-shipped': {
    about: 'a step that is tried again, a sleep, a signal in time, an end',
    fn: order,
    play: async (env) => {
      const run = await env.start(order, { cents: 5 });
      await env.advance('10 minutes');
      await run.signal('approved', true);
      await run.result();
      return run;
    },
  },
  'order-waits': {
    about: 'a run that is open: it waits for its signal, at rest',
    fn: order,
    play: async (env) => {
      const run = await env.start(order, { cents: 5 });
      await env.advance('10 minutes');
      return run;
    },
  },
  'branches-raced': {
    about: 'branches side by side, steps of one name, a race that the signal wins, chance and time',
    fn: branches,
    play: async (env) => {
      const run = await env.start(branches, null);
      await env.advance('10 seconds');
      await run.signal('go', 'now');
      await run.result();
      return run;
    },
  },
  'paused-resumed': {
    about: 'a step whose attempts are used up pauses the run, resumed it completes',
    fn: paused,
    play: async (env) => {
      const run = await env.start(paused, null);
      await env.advance('1 hour');
      await run.resume();
      await run.result();
      return run;
    },
  },
  'failing-caught': {
    about: 'a failure that the code catches, and one that it does not',
    fn: failing,
    play: async (env) => {
      const run = await env.start(failing, null);
      await run.ending();
      return run;
    },
  },
};

/** A journal as a version of Millrace wrote it. */
export interface FunctionHistory extends RunHistory {
  readonly about: string;
  /** Version of Millrace that wrote it. */
  readonly recordedBy: string;
}

/** Where they are kept. */
export const FUNCTION_HISTORIES = join(ROOT, 'test/histories/functions');

/** All that were recorded. */
export function readFunctionHistories(): readonly { readonly name: string; readonly history: FunctionHistory }[] {
  return readdirSync(FUNCTION_HISTORIES)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => ({
      name: file.replace('.json', ''),
      history: JSON.parse(readFileSync(join(FUNCTION_HISTORIES, file), 'utf8')),
    }));
}
