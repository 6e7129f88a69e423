/** The program of docs/functions.md on child runs and lists. test/integration/docs.test.ts runs it. */
import { createClient, serveWorkflows, workflow } from '../../../src/index.ts';

let number = 0;
const nats = process.env.MILLRACE_NATS_URL ?? 'nats://127.0.0.1:4222';

// snippet: children
const invoice = workflow('invoice', {}, async (ctx, { item, amount }: { item: string; amount: number }) => {
  const number = await ctx.step('number', () => nextNumber());
  return { item, amount, number };
});

const billing = workflow('billing', {}, async (ctx, items: string[]) => {
  const prices = await ctx.map('price', items, (item) => priceOf(item), { maxParallel: 20 });
  const lines = items.map((item, n) => ({ item, amount: prices[n] ?? 0 }));
  const invoices = await ctx.map('invoice', lines, invoice, { maxParallel: 5 }); // a child run each
  const summary = await ctx.run(invoice, { item: 'summary', amount: prices.reduce((sum, price) => sum + price, 0) });
  return [...invoices, summary].map(({ item, amount, number }) => `${number} ${item} ${amount}`);
});
// end

const serving = await serveWorkflows([invoice, billing], { nats });
const client = await createClient({ nats });
const run = await client.start(billing, ['nut', 'bolt']);
for (const line of (await run.result()).sort()) console.log(line);
await serving.drain();
await client.close();

async function priceOf(item: string): Promise<number> {
  return item.length;
}

function nextNumber(): number {
  number++;
  return number;
}
