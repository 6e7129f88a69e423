/** The worker of the product test; the check step fails once for orders named `flaky`. */
import { z } from 'zod';
import { createTelemetry } from '../../../src/telemetry/index.ts';
import { createWorker } from '../../../src/worker/index.ts';

const payload = z.object({ order: z.string(), seconds: z.number() });
const telemetry = await createTelemetry({
  service: 'millrace-worker',
  otlpUrl: process.env['MILLRACE_OTLP_URL'],
  logLevel: 'warn',
});
const worker = createWorker({
  nats: process.env['MILLRACE_NATS_URL'] ?? 'nats://127.0.0.1:4222',
  http: { port: Number(process.env['MILLRACE_HTTP_PORT'] ?? 0) },
  telemetry,
});
worker.handle(
  'product.check',
  { input: z.object({ payload }), output: z.object({ order: z.string() }) },
  (input, ctx) => {
    if (input.payload.order === 'flaky' && ctx.attempt === 1) throw new Error('fails once on purpose');
    return { order: input.payload.order };
  },
);
worker.handle(
  'product.store',
  {
    input: z.object({ steps: z.object({ work: z.object({ result: z.string() }) }) }),
    output: z.object({ stored: z.string() }),
  },
  (input) => ({ stored: input.steps.work.result }),
);
await worker.start();
