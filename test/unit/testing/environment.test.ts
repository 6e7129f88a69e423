/** The test environment: time that skips, mocks, both kinds of workflow. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { RunError, step, workflow } from '../../../src/index.ts';
import { testEnvironment } from '../../../src/testing/index.ts';

const Order = z.object({ id: z.string(), amount: z.number() });

const charge = step({
  name: 'payments.charge',
  input: Order,
  output: z.object({ payment: z.string() }),
  run: ({ id }) => ({ payment: `p-${id}` }),
});

const order = workflow(
  'order',
  { input: Order, output: z.string(), signals: { approved: z.boolean() } },
  async (ctx, input) => {
    const { payment } = await ctx.step(charge, input);
    const approved = await ctx.signal('approved', { timeoutMs: 7 * 86_400_000 });
    if (!approved) return ctx.step('refund', () => `refunded ${payment}`);
    await ctx.sleep(3 * 86_400_000);
    return ctx.step('ship', () => `shipped ${payment}`);
  },
);

const DECLARED = `
apiVersion: millrace/v1
kind: Workflow
metadata: {name: delivery}
spec:
  triggers:
    - {name: placed, stream: ORDERS, subject: orders.placed.*, key: payload.id}
  steps:
    - name: charge
      run: {worker: payments.charge}
      with: {id: payload.id, amount: payload.amount}
      retry: {maxAttempts: 3}
    - name: wait
      needs: [charge]
      sleep: 3d
    - name: report
      needs: [wait]
      run: {prefect: reports/daily}
      with: {payment: steps.charge.payment}
---
apiVersion: millrace/v1
kind: Stream
metadata: {name: ORDERS}
spec: {subjects: [orders.placed.*]}
`;

describe('a durable function', () => {
  test('is tested in no time, however long it takes', async () => {
    const env = await testEnvironment({ workflows: [order] });
    const begun = env.now;
    const run = await env.start(order, { id: 'o-1', amount: 3 });
    await env.advance('1 day');
    await run.signal('approved', true);
    expect(await run.result()).toBe('shipped p-o-1');
    expect(env.now - begun).toBe(4 * 86_400_000);
    expect(env.warnings).toEqual([]);
  });

  test('fails with the code of its failure', async () => {
    const env = await testEnvironment({ workflows: [order] });
    const run = await env.start(order, { id: 'o-1', amount: 3 });
    await expect(run.result()).rejects.toThrow(RunError);
    expect(await run.ending()).toMatchObject({ status: 'failed', error: { code: 'MR_SIGNAL_TIMEOUT' } });
  });

  test('has its input, signals and output checked by its schemas', async () => {
    const env = await testEnvironment({ workflows: [order] });
    const bad = await env.start('order', { id: 1 });
    expect(await bad.ending()).toMatchObject({ status: 'failed', error: { code: 'MR_INPUT_INVALID' } });
    const run = await env.start(order, { id: 'o', amount: 1 });
    await run.signal('approved', 'yes');
    expect(await run.ending()).toMatchObject({
      status: 'failed',
      error: { code: 'MR_INPUT_INVALID', message: expect.stringContaining('approved') },
    });
    env.mock('ship', () => 7);
    const odd = await env.start(order, { id: 'o', amount: 1 });
    await odd.signal('approved', true);
    expect(await odd.ending()).toMatchObject({ status: 'failed', error: { code: 'MR_OUTPUT_INVALID' } });
  });

  test('calls mocks with what its steps are called with', async () => {
    const env = await testEnvironment({ workflows: [order] });
    const calls: unknown[] = [];
    env.mock('payments.charge', (input: unknown, { attempt, idempotencyKey, runId }) => {
      calls.push([input, attempt, idempotencyKey === `${runId}/payments.charge`]);
      return { payment: 'mocked' };
    });
    const run = await env.start(order, { id: 'o-1', amount: 3 });
    await run.signal('approved', false);
    expect(await run.result()).toBe('refunded mocked');
    expect(calls).toEqual([[{ id: 'o-1', amount: 3 }, 1, true]]);
  });

  test('that waits for what nobody sends says so', async () => {
    const waits = workflow('waits', {}, (ctx) => ctx.signal('never'));
    const env = await testEnvironment({ workflows: [waits] });
    const run = await env.start(waits, null);
    await expect(run.result()).rejects.toMatchObject({
      code: 'MR_RUN_STATE',
      message: expect.stringContaining('signal:never'),
      hint: expect.stringContaining('run.signal'),
    });
  });

  test('that is not deterministic is found out, since every waking replays it', async () => {
    let calls = 0;
    const odd = workflow('odd', {}, async (ctx) => {
      await ctx.step(`a${++calls}`, () => 1);
      await ctx.sleep(60_000);
      return 'done';
    });
    const env = await testEnvironment({ workflows: [odd] });
    const run = await env.start(odd, null);
    await env.advance('2 minutes');
    expect(env.warnings.join()).toContain('a1');
    expect(run.endedAs).toBeUndefined();
    calls = 0;
    const kept = await testEnvironment({ workflows: [odd], keepResting: true });
    expect(await (await kept.start(odd, null)).result()).toBe('done');
  });

  test('whose step really waits is waited for', async () => {
    const real = workflow('real', {}, (ctx) =>
      ctx.step('io', () => new Promise<string>((resolve) => setImmediate(() => setImmediate(() => resolve('read'))))),
    );
    const env = await testEnvironment({ workflows: [real] });
    const begun = env.now;
    expect(await (await env.start(real, null)).result()).toBe('read');
    expect(env.now).toBe(begun);
  });

  test('whose step hangs is timed out', async () => {
    const hangs = workflow('hangs', {}, (ctx) =>
      ctx.step('io', () => new Promise<string>(() => {}), { timeoutMs: 60_000, retry: { maxAttempts: 2 } }),
    );
    const env = await testEnvironment({ workflows: [hangs], realMs: 5 });
    const run = await env.start(hangs, null);
    expect(await run.ending()).toMatchObject({ status: 'failed', error: { code: 'MR_STEP_TIMEOUT' } });
  });
});

describe('a declared workflow', () => {
  test('runs its steps by their code, its flows by mocks, started by a message', async () => {
    const env = await testEnvironment({ manifests: [DECLARED], steps: [charge] });
    env.mock('reports/daily', ({ payment }: { payment: string }) => ({ reported: payment }));
    const [run] = await env.publish('orders.placed.eu', { id: 'o-2', amount: 5 });
    await env.publish('orders.placed.eu', { id: 'o-2', amount: 5 });
    expect(await env.runs()).toHaveLength(1);
    expect((await run?.ending())?.status).toBe('completed');
    expect(run?.state.steps['report']?.output).toEqual({ reported: 'p-o-2' });
    expect(env.events.map(({ event }) => event)).toContain('completed');
    expect(env.warnings).toEqual([]);
  });

  test('has children, and gives what its last steps gave', async () => {
    const family = `
apiVersion: millrace/v1
kind: Workflow
metadata: {name: parent}
spec:
  steps:
    - {name: child, run: {workflow: child}, with: {n: payload.n}}
---
apiVersion: millrace/v1
kind: Workflow
metadata: {name: child}
spec:
  steps:
    - {name: double, run: {worker: double}, with: {n: payload.n}}
`;
    const env = await testEnvironment({ manifests: [family] });
    env.mock('double', ({ n }: { n: number }) => 2 * n);
    env.inject({ at: 'command.after', do: 'crash', name: 'child' });
    env.inject({ at: 'command.before', do: 'crash', name: 'parent' });
    const run = await env.start('parent', { n: 4 });
    expect(await run.result()).toEqual({ child: { double: 8 } });
    expect((await env.runs()).map((one) => one.workflow).sort()).toEqual(['child', 'parent']);
    expect(env.deaths).toBe(2);
  });

  test('says which mock is missing', async () => {
    const env = await testEnvironment({ manifests: [DECLARED] });
    const run = await env.start('delivery', { id: 'o', amount: 1 });
    await expect(run.result()).rejects.toMatchObject({ hint: expect.stringContaining("env.mock('payments.charge'") });
    env.mock('payments.charge', () => ({ payment: 'p' }));
    await expect(run.result()).rejects.toMatchObject({ hint: expect.stringContaining("env.mock('reports/daily'") });
  });

  test('retries what fails', async () => {
    const env = await testEnvironment({ manifests: [DECLARED], steps: [charge] });
    env.mock('report', () => null);
    env.failAttempt('charge', 1);
    env.failAttempt('payments.charge', 2);
    const run = await env.start('delivery', { id: 'o', amount: 1 });
    expect((await run.ending()).status).toBe('completed');
    expect(run.state.steps['charge']).toMatchObject({ attempt: 3, failures: 2 });
  });

  test('refuses manifests with problems, and names that clash', async () => {
    await expect(testEnvironment({ manifests: [DECLARED.replace('sleep: 3d', 'sleep: soon')] })).rejects.toMatchObject({
      code: 'MR_MANIFEST_INVALID',
    });
    await expect(testEnvironment({ workflows: [order, order] })).rejects.toMatchObject({ code: 'MR_USAGE' });
    const env = await testEnvironment({ workflows: [order] });
    await expect(env.start('nothing')).rejects.toMatchObject({
      code: 'MR_WORKFLOW_MISSING',
      hint: expect.stringContaining('order'),
    });
  });
});
