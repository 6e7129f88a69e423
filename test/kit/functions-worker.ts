/** A process of its own that serves the functions of the integration tests: `functions-worker.ts <url>`. */
import { appendFileSync } from 'node:fs';
import { type Context, serveWorkflows, workflow } from '../../src/functions/index.ts';
import type { Json } from '../../src/kernel/index.ts';

/** Three steps; each effect leaves a line. */
export const counted = (file: string) =>
  workflow<{ n: number }, number>('counted', {}, async (ctx: Context, { n }) => {
    let sum = n;
    for (const step of ['a', 'b', 'c']) {
      sum = await ctx.step(step, async ({ idempotencyKey }) => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        appendFileSync(file, `${idempotencyKey}\n`);
        return sum + 1;
      });
    }
    return sum;
  });

/** Asks, waits for the signal `answer`, books what it says; each effect leaves a line. */
export const asked = (file: string) =>
  workflow<null, Json>('asked', {}, async (ctx: Context) => {
    const leave = ({ idempotencyKey }: { readonly idempotencyKey: string }): void =>
      appendFileSync(file, `${idempotencyKey}\n`);
    await ctx.step('ask', leave);
    const answer = await ctx.signal('answer');
    return ctx.step('book', (attempt) => {
      leave(attempt);
      return answer;
    });
  });

/** Doubles each of so many items, five at a time; each effect leaves a line. */
export const mapped = (file: string) =>
  workflow<number, number>('mapped', {}, async (ctx: Context, count) => {
    const items = Array.from({ length: count }, (_, n) => n);
    const doubled = await ctx.map(
      'double',
      items,
      async (n, { idempotencyKey }) => {
        await new Promise((resolve) => setTimeout(resolve, 2));
        appendFileSync(file, `${idempotencyKey}\n`);
        return n * 2;
      },
      { maxParallel: 5 },
    );
    return doubled.reduce((sum, n) => sum + n, 0);
  });

/** Lets a child ask, twice at once. */
export const asking = (file: string) =>
  workflow<null, Json>('asking', {}, (ctx: Context) =>
    Promise.all([ctx.run(asked(file), null, { name: 'first' }), ctx.run(asked(file), null, { name: 'second' })]),
  );

const [url, file] = process.argv.slice(2);
if (url !== undefined && file !== undefined && import.meta.url === `file://${process.argv[1]}`) {
  const functions = [counted(file), asked(file), mapped(file), asking(file)];
  await serveWorkflows(functions, { nats: url, name: 'child', concurrency: 50, leaseMs: 3_000 });
  console.log('serving');
}
