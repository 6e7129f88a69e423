/** The process of the scale benchmarks that executes durable functions: the same scenarios as declared workflows (shape.ts). */
import { startHttp } from '../../src/drivers/index.ts';
import { serveWorkflows, workflow } from '../../src/functions/index.ts';
import { createTelemetry } from '../../src/telemetry/index.ts';
import { NAP_MS, nameOf, TEN_YEARS_MS } from './shape.ts';

const chain = workflow(nameOf('chain'), {}, async (ctx) => {
  for (let i = 1; i <= 3; i++) await ctx.step(`s${i}`, () => 1);
  return null;
});

const gate = workflow(nameOf('gate'), {}, async (ctx) => {
  await ctx.step('before', () => 1);
  await ctx.sleep(NAP_MS);
  await ctx.signal('go');
  await ctx.step('after', () => 1);
  return null;
});

const nap = workflow<{ readonly nap: boolean }, null>(nameOf('nap'), {}, async (ctx, { nap }) => {
  if (nap) await ctx.sleep(TEN_YEARS_MS);
  else await ctx.step('work', () => 1);
  return null;
});

const { env } = process;
const telemetry = await createTelemetry({
  service: 'millrace-worker',
  otlpUrl: env['MILLRACE_OTLP_URL'],
  logLevel: env['MILLRACE_LOG_LEVEL'] ?? 'warn',
});
const serving = await serveWorkflows([chain, gate, nap], {
  nats: env['MILLRACE_NATS_URL'] ?? 'nats://127.0.0.1:4222',
  name: 'scale',
  telemetry,
});
await startHttp({
  port: Number(env['MILLRACE_HTTP_PORT'] ?? 0),
  health: async () => [{ name: 'serving', ok: true, detail: `${serving.executing} runs executing` }],
  metrics: () => telemetry.metricsText(),
});
