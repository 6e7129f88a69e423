/** Programs of docs/functions.md about steps that fail: what stands between the marks stands there. test/integration/docs.test.ts runs it. */
import { createClient, RetryAfter, serveWorkflows, workflow } from '../../../src/index.ts';

const nats = process.env.MILLRACE_NATS_URL ?? 'nats://127.0.0.1:4222';

let begun = 0;
let paid = 0;

class NoSuchTable extends Error {}

async function copyRow(row: number): Promise<void> {
  if (row === 3 && ++begun === 1) throw new RetryAfter(5, 'the warehouse is busy');
  if (row > 5) throw new NoSuchTable('no more rows');
  console.log(`copied ${row}`);
}

async function pay(): Promise<string> {
  if (++paid === 1) throw new Error('the till is shut');
  return 'paid';
}

// snippet: retries
const copied = workflow('copied', {}, async (ctx, { rows }: { rows: number }) => {
  const copy = await ctx.step(
    'copy',
    async ({ progress, heartbeat }) => {
      const done = (progress ?? { row: 0 }) as { row: number }; // where the attempt before this one got to
      for (let row = done.row; row < rows; row++) {
        await copyRow(row);
        heartbeat({ row: row + 1 });
      }
      return rows;
    },
    {
      heartbeatTimeoutMs: 30_000, // an attempt that is silent for longer has failed
      retry: { maxAttempts: 10, maxElapsedMs: 3_600_000, nonRetryable: ['NoSuchTable'] },
    },
  );
  const receipt = await ctx.step('pay', () => pay(), { retry: { maxAttempts: 1, onExhausted: 'pause' } });
  return { copy, receipt };
});
// end

const serving = await serveWorkflows([copied], { nats });
const client = await createClient({ nats });
const run = await client.start(copied, { rows: 5 });
// A person who has seen to the till resumes the step; before it is paused that means nothing.
const again = setInterval(() => void resume(), 100);
console.log(JSON.stringify(await run.result()));
clearInterval(again);
await serving.drain();
await client.close();

async function resume(): Promise<void> {
  // snippet: resume
  await client.resume(copied, run.runId, 'pay', { by: 'ops' });
  // end
}
