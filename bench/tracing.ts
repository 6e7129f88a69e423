/**
 * What tracing costs: the same declared workflow without tracing and with every run sampled, in turns on one server; metrics
 * and the log are on in both. Spans go over OTLP to a sink in a process of its own, which shares the processor with
 * everything else.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { NatsDoor } from '../src/drivers/index.ts';
import { createTelemetry } from '../src/telemetry/index.ts';
import { amount, figureOf, figuresOf, type ServerBenchmark } from './benchmark.ts';
import { openDeclared } from './declared-system.ts';
import type { Figures } from './summary.ts';

const STEPS = 3;
const AT_ONCE = 256;
const RUNS = 1_200;
const SINK = fileURLToPath(new URL('./otlp-sink.ts', import.meta.url));
const ORDER = [false, true, true, false, false, true] as const;

/** Seconds of one part, a controller and a worker of its own for each. */
async function part(door: NatsDoor, runs: number, otlpUrl: string | undefined): Promise<number> {
  const telemetry = await createTelemetry({ service: 'bench', otlpUrl, logLevel: 'warn' });
  const system = await openDeclared({ door, workflow: 'traced', steps: STEPS, tracing: { telemetry, otlpUrl } });
  try {
    await system.runs(300, 64);
    return await system.runs(runs, AT_ONCE);
  } finally {
    await system.stop();
    await telemetry.close();
  }
}

async function ask<T>(sink: ChildProcess): Promise<T> {
  const answer = once(sink, 'message');
  sink.send('bytes');
  return (await answer)[0] as T;
}

async function round(door: NatsDoor, scale: number): Promise<Figures> {
  const execArgv = ['--import', import.meta.resolve('tsx')];
  const sink = fork(SINK, [], { execArgv, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  try {
    const [{ port }] = (await once(sink, 'message')) as [{ port: number }];
    const runs = amount(RUNS, scale);
    const seconds = { off: 0, on: 0 };
    for (const on of ORDER) {
      seconds[on ? 'on' : 'off'] += await part(door, runs, on ? `http://127.0.0.1:${port}` : undefined);
    }
    const { bytes } = await ask<{ bytes: number }>(sink);
    if (bytes === 0) throw new Error('no span arrived');
    const parts = ORDER.length / 2;
    const traced = parts * (runs + 300);
    return {
      off: (runs * parts) / seconds.off,
      on: (runs * parts) / seconds.on,
      ratio: seconds.off / seconds.on,
      bytes: bytes / traced,
    };
  } finally {
    sink.disconnect();
  }
}

export const tracingBenchmark: ServerBenchmark = {
  name: 'tracing',
  what: `runs of ${STEPS} worker steps with every run traced to an OTLP sink, beside the same without`,
  kind: 'server',
  syncs: ['lazy'],
  rows: [
    { key: 'off', label: `runs/s, ${AT_ONCE} open, tracing off`, digits: 0 },
    { key: 'on', label: 'runs/s, every run traced', digits: 0 },
    { key: 'ratio', label: 'ratio of rates: on / off', digits: 2 },
    { key: 'bytes', label: 'bytes of spans per run', digits: 0 },
  ],
  figures: (rounds) =>
    figuresOf(
      figureOf(
        rounds,
        { value: 'on', ratio: 'ratio' },
        { figure: 'tracing.cost', unit: 'runs/s', against: 'tracing off' },
      ),
    ),
  round,
};
