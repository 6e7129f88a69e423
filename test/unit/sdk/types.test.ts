/** Types follow from schemas, end to end. `make verify` compiles this file: a type that is wrong fails there. */
import { describe, expect, expectTypeOf, test } from 'vitest';
import { z } from 'zod';
import { type Client, type Context, type Json, step, workflow } from '../../../src/index.ts';

const Order = z.object({ id: z.string(), amount: z.coerce.number() });
const Receipt = z.object({ id: z.string() });

const charge = step({
  name: 'payments.charge',
  input: Order,
  output: Receipt,
  run: (order, call) => {
    expectTypeOf(order).toEqualTypeOf<{ id: string; amount: number }>();
    expectTypeOf(call.idempotencyKey).toBeString();
    return { id: order.id };
  },
});

const order = workflow(
  'order',
  { input: Order, output: Receipt, signals: { approved: z.object({ by: z.string() }) } },
  async (ctx, input) => {
    expectTypeOf(input).toEqualTypeOf<{ id: string; amount: number }>();
    const approval = await ctx.signal('approved');
    expectTypeOf(approval).toEqualTypeOf<{ by: string }>();
    expectTypeOf(await ctx.signal('else')).toEqualTypeOf<Json>();
    const receipt = await ctx.step(charge, { id: approval.by, amount: '3' });
    expectTypeOf(receipt).toEqualTypeOf<{ id: string }>();
    expectTypeOf(await ctx.step('count', () => 1)).toBeNumber();
    return receipt;
  },
);

describe('types', () => {
  test('of a function follow from its schemas', () => {
    expectTypeOf(order.run).returns.resolves.toEqualTypeOf<{ id: string }>();
    const start = (client: Client) => client.start(order, { id: 'a', amount: 1 });
    expectTypeOf(start).returns.resolves.toHaveProperty('result');
    expectTypeOf<Awaited<ReturnType<Awaited<ReturnType<typeof start>>['result']>>>().toEqualTypeOf<{ id: string }>();
    expect(order.signals?.approved.safeParse({ by: 1 }).success).toBe(false);
  });

  test('of a helper that takes any context go with a function that declares signals', () => {
    const helper = (ctx: Context): Promise<void> => ctx.sleep(1);
    const fn = workflow('w', { signals: { go: z.number() } }, async (ctx) => helper(ctx));
    expectTypeOf(fn.run).returns.resolves.toBeVoid();
    expect(fn.name).toBe('w');
  });

  test('refuse what does not fit', () => {
    // Never run: each line must not compile, and @ts-expect-error fails when one does.
    const wrong = async (ctx: Context, client: Client): Promise<void> => {
      // @ts-expect-error the input's amount is missing
      await ctx.step(charge, { id: 'a' });
      // @ts-expect-error the run is started with an order
      await client.start(order, { id: 1 });
      // @ts-expect-error what the step gives has no amount
      (await ctx.step(charge, { id: 'a', amount: 1 })).amount;
    };
    expect(wrong).toBeTypeOf('function');
    const bad = { name: 'x', input: Order, output: Receipt, run: () => ({ id: 1 }) };
    // @ts-expect-error the output's id is a string
    expect(step(bad).name).toBe('x');
  });
});
