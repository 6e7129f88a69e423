/** The program of docs/testing.md: what stands between the marks stands there. */
// snippet: workflow
import { z } from 'zod';
import { step, workflow } from '../../../src/index.ts';

const Order = z.object({ id: z.string(), cents: z.number() });

const charge = step({
  name: 'charge',
  input: Order,
  output: z.object({ payment: z.string() }),
  run: async (order, { idempotencyKey }) => ({ payment: await pay(order, idempotencyKey) }),
});

const order = workflow(
  'order',
  { input: Order, output: z.string(), signals: { approved: z.boolean() } },
  async (ctx, input) => {
    const { payment } = await ctx.step(charge, input);
    const approved = await ctx.signal('approved', { timeoutMs: 7 * 86_400_000 });
    if (!approved) return ctx.step('refund', () => refund(payment));
    await ctx.sleep(3 * 86_400_000);
    return ctx.step('ship', () => `shipped ${input.id}`);
  },
);
// end

async function pay({ id }: { id: string }, key: string): Promise<string> {
  return `payment of ${id} under ${key}`;
}

async function refund(payment: string): Promise<string> {
  return `refunded ${payment}`;
}

// snippet: first
import { expect, test } from 'vitest';
import { testEnvironment } from '../../../src/testing/index.ts';

test('an approved order is shipped three days later', async () => {
  const env = await testEnvironment({ workflows: [order] });
  const run = await env.start(order, { id: 'o-1', cents: 4_200 });
  await env.advance('1 day');
  await run.signal('approved', true);
  expect(await run.result()).toBe('shipped o-1'); // three days pass by themselves
});
// end

// snippet: mocks
test('a refused order is refunded', async () => {
  const env = await testEnvironment({ workflows: [order] });
  env.mock('charge', (input: { id: string }, { attempt }) => ({ payment: `${input.id} at attempt ${attempt}` }));
  env.failAttempt('charge', 1); // the first attempt throws, the second calls the mock
  const run = await env.start(order, { id: 'o-2', cents: 100 });
  await env.advance('1 minute');
  await run.signal('approved', false);
  expect(await run.result()).toBe('refunded o-2 at attempt 2');
});
// end

// snippet: faults
test('a crash between the payment and its record charges under the same key', async () => {
  const env = await testEnvironment({ workflows: [order] });
  const keys: string[] = [];
  env.mock('charge', (_input: unknown, { idempotencyKey }) => {
    keys.push(idempotencyKey);
    return { payment: 'p' };
  });
  env.inject({ at: 'step.after', do: 'crash', name: 'charge' });
  const run = await env.start(order, { id: 'o-3', cents: 100 });
  await run.signal('approved', true);
  expect(await run.result()).toBe('shipped o-3');
  expect(keys).toEqual([`${run.runId}/charge`, `${run.runId}/charge`]);
});
// end

// snippet: declared
const MANIFEST = `
apiVersion: millrace/v1
kind: Workflow
metadata: {name: delivery}
spec:
  steps:
    - name: charge
      run: {worker: charge}
      with: {id: payload.id, cents: payload.cents}
    - name: report
      needs: [charge]
      run: {prefect: reports/daily}
      with: {payment: steps.charge.payment}
`;

test('a declared workflow calls its steps, its flows are mocked', async () => {
  const env = await testEnvironment({ manifests: [MANIFEST], steps: [charge] });
  env.mock('reports/daily', ({ payment }: { payment: string }) => ({ rows: payment.length }));
  const run = await env.start('delivery', { id: 'o-4', cents: 100 });
  expect(await run.ending()).toMatchObject({ status: 'completed' });
  expect(run.state.steps['report']?.output).toMatchObject({ rows: expect.any(Number) });
});

// end

// snippet: given
import { givenRun, signal } from '../../../src/testing/index.ts';

test('a signal that comes while the order waits is given to it', async () => {
  const env = await testEnvironment({ workflows: [order] });
  env.mock('charge', () => ({ payment: 'p' }));
  const { history } = await env.start(order, { id: 'o-5', cents: 1 });
  await givenRun(order, history)
    .when(signal('approved', false))
    .stores(
      { type: 'RunClaimed', worker: 'functions-2' },
      { type: 'SignalReceived', name: 'approved', payload: false },
      { type: 'TimerCancelled', timer: 'signal/signal:approved/1' },
      { type: 'SignalConsumed', name: 'approved', step: 'signal:approved' },
      { type: 'StepCompleted', step: 'signal:approved', attempt: 1, output: false },
      { type: 'StepCompleted', step: 'refund', attempt: 1, output: 'refunded p' },
      { type: 'RunCompleted', output: 'refunded p' },
    );
});

// end

// snippet: replays
import { assertReplays } from '../../../src/testing/index.ts';

test('orders that are under way fit the new code', async () => {
  const env = await testEnvironment({ workflows: [order] });
  const run = await env.start(order, { id: 'o-6', cents: 1 });
  await assertReplays(run.history, order);

  const renamed = workflow('order', { input: Order }, (ctx, input) => ctx.step('bill', () => pay(input, 'k')));
  await expect(assertReplays(run.history, renamed)).rejects.toThrow(
    'the journal has "charge" as result 1; the code asks for "bill"',
  );
});

// end

// snippet: every-fault
import { everyFault } from '../../../src/testing/index.ts';

test('an order is shipped whatever fails, is repeated or crashes, at every point', async () => {
  const { plays, findings } = await everyFault({
    environment: () => ({ workflows: [order], steps: [charge] }),
    play: async (env) => {
      const run = await env.start(order, { id: 'o-7', cents: 1 });
      await run.signal('approved', true);
      return run.result();
    },
  });
  expect(findings).toEqual([]);
  expect(plays).toBeGreaterThan(30);
});
// end
