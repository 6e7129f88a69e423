/** The worker of the chaos test: each step writes down that it ran, and has one effect under its idempotency key. */
import { headers } from 'nats';
import { z } from 'zod';
import type { NatsDoor } from '../../src/drivers/index.ts';
import { createWorker, type StepContext } from '../../src/worker/index.ts';

const order = z.object({ payload: z.object({ order: z.string() }), steps: z.record(z.string(), z.unknown()) });

async function effect(ctx: StepContext<NatsDoor>): Promise<{ effect: string }> {
  const { js } = ctx.nats;
  const tokens = `${ctx.runId}.${ctx.step}`;
  await js.publish(`chaos.execution.${tokens}`, JSON.stringify({ attempt: ctx.attempt, pid: process.pid }));
  // An effect in a system that can tell a repeated key: here the stream's last message of a subject of its own.
  const h = headers();
  h.set('Nats-Expected-Last-Subject-Sequence', '0');
  try {
    await js.publish(`chaos.effect.${tokens}`, ctx.idempotencyKey, { headers: h });
  } catch (error) {
    const code = (error as { code?: number }).code;
    if (code !== 10071 && code !== 10164) throw error;
  }
  return { effect: ctx.idempotencyKey };
}

const worker = createWorker({
  nats: process.env['MILLRACE_NATS_URL'] ?? 'nats://127.0.0.1:4222',
  http: { port: Number(process.env['MILLRACE_HTTP_PORT'] ?? 0) },
});
const output = z.object({ effect: z.string() });
worker.handle('chaos.reserve', { input: order, output, ackWaitMs: 5_000 }, (_input, ctx) => effect(ctx));
worker.handle('chaos.confirm', { input: order, output, ackWaitMs: 5_000 }, (_input, ctx) => effect(ctx));
await worker.start();
