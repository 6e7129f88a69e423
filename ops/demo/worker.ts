/**
 * The demo's worker process: the TypeScript steps of streams/delay-report.yaml and streams/quake-alert.yaml.
 * Settings come from the environment, as for every process (docs/protocol.md).
 */
import { Kvm } from '@nats-io/kv';
import { headers } from 'nats';
import { z } from 'zod';
import type { NatsDoor } from '../../src/drivers/index.ts';
import { createTelemetry, headersOfContext } from '../../src/telemetry/index.ts';
import { createWorker, type StepContext } from '../../src/worker/index.ts';
import {
  batchSchema,
  LOCATE_FAILS,
  locate,
  locationSchema,
  quakeSchema,
  validateBatch,
  validBatchSchema,
} from './steps.ts';

const REPORTS_BUCKET = 'delay_reports';
const ALERTS_BUCKET = 'quake_alerts';

type Context = StepContext<NatsDoor>;

/** Publishes with the step's trace and a message id of its own: a second attempt's message is stored once. */
async function announce(ctx: Context, subject: string, body: object): Promise<number> {
  const hdrs = headers();
  for (const [name, value] of Object.entries(headersOfContext(ctx.trace))) hdrs.set(name, value);
  const ack = await ctx.nats.js.publish(subject, JSON.stringify(body), {
    msgID: `${ctx.idempotencyKey}/${subject}`,
    headers: hdrs,
  });
  return ack.seq;
}

/** A put under a key is idempotent: the same attempt twice leaves the same entry. */
async function store(ctx: Context, bucket: string, key: string, value: object): Promise<number> {
  const kv = await new Kvm(ctx.nats.js).create(bucket, { history: 5 });
  return kv.put(key, JSON.stringify(value));
}

const { env } = process;
const telemetry = await createTelemetry({
  service: 'millrace-worker',
  otlpUrl: env['MILLRACE_OTLP_URL'],
  logLevel: env['MILLRACE_LOG_LEVEL'] ?? 'info',
});
const worker = createWorker({
  nats: env['MILLRACE_NATS_URL'] ?? 'nats://127.0.0.1:4222',
  token: env['MILLRACE_NATS_TOKEN'],
  telemetry,
  http: { port: Number(env['MILLRACE_HTTP_PORT'] ?? 0), metrics: () => telemetry.metricsText() },
});

worker.handle('flights.validate', { input: z.object({ batch: batchSchema }), output: validBatchSchema }, ({ batch }) =>
  validateBatch(batch),
);

const report = z.object({
  date: z.iso.date(),
  report: z.looseObject({ summary: z.looseObject({ flights: z.number(), mean_delay: z.number() }) }),
});
worker.handle(
  'reports.store',
  { input: report, output: z.object({ bucket: z.string(), key: z.string(), revision: z.number() }) },
  async ({ date, report: content }, ctx) => {
    const revision = await store(ctx, REPORTS_BUCKET, date, content);
    await announce(ctx, 'reports.ready', { date, bucket: REPORTS_BUCKET, key: date, summary: content.summary });
    return { bucket: REPORTS_BUCKET, key: date, revision };
  },
);

worker.handle(
  'quakes.locate',
  { input: z.object({ quake: quakeSchema }), output: locationSchema },
  ({ quake }, ctx) => {
    if (ctx.attempt <= LOCATE_FAILS) {
      const message = `attempt ${ctx.attempt} fails on purpose, to show a retry; attempt ${LOCATE_FAILS + 1} will not`;
      return ctx.fail(message, { retryable: true });
    }
    return locate(quake);
  },
);

const alert = z.object({ quake: quakeSchema, assessment: z.looseObject({}), review: z.unknown().optional() });
const stored = z.object({ status: z.enum(['published', 'expired']), key: z.string() });

worker.handle('alerts.publish', { input: alert, output: stored }, async ({ quake, assessment, review }, ctx) => {
  await store(ctx, ALERTS_BUCKET, quake.id, { status: 'published', assessment, review: review ?? null });
  return { status: 'published' as const, key: quake.id };
});

worker.handle('alerts.expire', { input: alert, output: stored }, async ({ quake, assessment }, ctx) => {
  await store(ctx, ALERTS_BUCKET, quake.id, { status: 'expired', assessment });
  return { status: 'expired' as const, key: quake.id };
});

await worker.start();
