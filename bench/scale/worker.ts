/** The worker process of the scale benchmarks: steps that return at once, with metrics (and traces, if there is a receiver). */
import { z } from 'zod';
import { createTelemetry } from '../../src/telemetry/index.ts';
import { createWorker } from '../../src/worker/index.ts';
import { HANDLER, QUEUE } from './shape.ts';

const { env } = process;
const telemetry = await createTelemetry({
  service: 'millrace-worker',
  otlpUrl: env['MILLRACE_OTLP_URL'],
  logLevel: env['MILLRACE_LOG_LEVEL'] ?? 'warn',
});
const worker = createWorker({
  nats: env['MILLRACE_NATS_URL'] ?? 'nats://127.0.0.1:4222',
  queue: QUEUE,
  telemetry,
  http: { port: Number(env['MILLRACE_HTTP_PORT'] ?? 0), metrics: () => telemetry.metricsText() },
});
worker.handle(HANDLER, { input: z.unknown(), output: z.number(), concurrency: 256 }, () => 1);
await worker.start();
