/**
 * A worker in a process of its own, for benchmarks of declared workflows: forked with the server's URL, the queue and the
 * OTLP base (or `untraced`: metrics and a log only; or nothing: no telemetry) as arguments. Says `ready`; answers `usage`
 * with its processor time in ms; ends with its parent.
 */
import { z } from 'zod';
import { createTelemetry } from '../src/telemetry/index.ts';
import { createWorker } from '../src/worker/index.ts';

const [url = '', queue = '', spans] = process.argv.slice(2);
const otlpUrl = spans === 'untraced' ? undefined : spans;
const telemetry =
  spans === undefined ? undefined : await createTelemetry({ service: 'bench-worker', otlpUrl, logLevel: 'warn' });
const worker = createWorker({
  nats: url,
  queue,
  handleSignals: false,
  ...(telemetry === undefined ? {} : { telemetry }),
});
worker.handle('bench.step', { input: z.unknown(), output: z.number(), concurrency: 256 }, () => 1);
await worker.start();

process.on('message', (message) => {
  if (message !== 'usage') return;
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuMs: (user + system) / 1_000 });
});
process.once('disconnect', () => {
  void worker
    .drain()
    .then(() => telemetry?.close())
    .finally(() => process.exit(0));
});
process.send?.('ready');
