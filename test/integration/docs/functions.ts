/** The program of docs/functions.md: what stands between the marks stands there. test/integration/docs.test.ts runs it. */
// snippet: order
import { createClient, serveWorkflows, workflow } from '../../../src/index.ts';

const nats = process.env.MILLRACE_NATS_URL ?? 'nats://127.0.0.1:4222';

const order = workflow('order', {}, async (ctx, input: { id: string; amount: number; holdMs: number }) => {
  const payment = await ctx.step('charge', ({ idempotencyKey }) => charge(input, idempotencyKey));
  const approved = await ctx.signal<boolean>('approved', { timeoutMs: 86_400_000 });
  if (!approved) return ctx.step('refund', () => refund(payment));
  await ctx.sleep(input.holdMs);
  return ctx.step('ship', () => ship(input.id));
});

const serving = await serveWorkflows([order], { nats });
const client = await createClient({ nats });
const run = await client.start(order, { id: 'o-1', amount: 40, holdMs: 1_000 });
await client.signal(order, run.runId, 'approved', true);
console.log(await run.result());
await serving.drain();
await client.close();
// end

async function charge({ id, amount }: { id: string; amount: number }, key: string): Promise<string> {
  console.log(`charged ${amount} for ${id}, once under ${key.replace(run.runId, '<run>')}`);
  return `payment of ${id}`;
}

async function refund(payment: string): Promise<string> {
  return `${payment} refunded`;
}

async function ship(id: string): Promise<string> {
  return `${id} shipped`;
}
