/** The program of docs/sdk.md: what stands between the marks stands there. test/integration/docs.test.ts runs it. */
// snippet: define
import { z } from 'zod';
import { client, step, worker, workflow } from '../../../src/index.ts';

const Order = z.object({ id: z.string(), cents: z.number().int() });

const charge = step({
  name: 'payments.charge',
  input: Order,
  output: z.object({ payment: z.string() }),
  run: async (order, call) => ({ payment: await pay(order, call.idempotencyKey) }),
});

const order = workflow(
  'order',
  { input: Order, output: z.string(), signals: { approved: z.object({ by: z.string() }) } },
  async (ctx, input) => {
    const { payment } = await ctx.step(charge, input);
    const { by } = await ctx.signal('approved', { timeoutMs: 86_400_000 });
    return `${payment}, approved by ${by}`;
  },
);
// end

// snippet: run
const url = process.env.MILLRACE_NATS_URL ?? 'nats://127.0.0.1:4222';

const running = await worker({ url, workflows: [order], steps: [charge] });
const millrace = await client({ url });

const run = await millrace.start(order, { id: 'o-1', cents: 4_200 }, { key: 'o-1' });
await run.signal('approved', { by: 'ada' });
console.log(await run.result());

const state = await run.state();
console.log(`${state.status}: ${Object.keys(state.steps).join(', ')}`);
await millrace.close();
await running.drain();
// end

async function pay({ cents }: { cents: number }, key: string): Promise<string> {
  return `${cents} cents paid once under ${key.replace(run.runId, '<run>')}`;
}
