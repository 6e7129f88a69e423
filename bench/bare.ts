/**
 * Durable functions of three steps beside the bare publishes that such a run stores: as many `js.publish` with acknowledgement, of
 * a journal entry's size, to one stream of the same server in the same minute.
 */
import type { NatsDoor } from '../src/drivers/index.ts';
import { createClient, serveWorkflows, workflow } from '../src/functions/index.ts';
import {
  amount,
  type Figure,
  figureOf,
  figuresOf,
  inTurn,
  PARTS,
  type ServerBenchmark,
  type Sync,
  timed,
} from './benchmark.ts';
import { addUsed, type Probe, type Used } from './probe.ts';
import { type Figures, percentile } from './summary.ts';

const AT_ONCE = 256;
const SATURATED = 2_000;
const ALONE = 60;
const COUNTED = 20;
const STEPS = 3;
const SUBJECT = 'bench.bare';
const PAYLOAD = new TextEncoder().encode(JSON.stringify({ v: 1, kind: 'task.succeeded', text: 'x'.repeat(200) }));

const steps = workflow<string, number>('bench-bare', {}, async (ctx, text) => {
  let last = text;
  for (let i = 0; i < STEPS; i++) last = await ctx.step('step', () => last);
  return last.length;
});

/** Messages ever stored in the server's streams. */
async function stored(door: NatsDoor): Promise<number> {
  let sum = 0;
  for await (const stream of door.jsm.streams.list()) sum += stream.state.last_seq;
  return sum;
}

async function round(door: NatsDoor, scale: number, probe: Probe): Promise<Figures> {
  await door.jsm.streams.add({ name: 'BENCH_BARE', subjects: [SUBJECT], storage: 'file' });
  const serving = await serveWorkflows([steps], { nats: door, name: 'bench', concurrency: 2 * AT_ONCE });
  const client = await createClient({ nats: door });
  const text = 'x'.repeat(128);
  const times: number[] = [];
  const one = async (): Promise<void> => {
    const begun = performance.now();
    if ((await (await client.start(steps, text)).result()) !== text.length) throw new Error('a wrong result');
    times.push(performance.now() - begun);
  };
  const publishes = (count: number, atOnce: number): Promise<number> =>
    timed(count, atOnce, () => door.js.publish(SUBJECT, PAYLOAD));
  try {
    await timed(amount(500, scale), 64, one); // warm: compiled code, open streams
    await publishes(amount(2_000, scale), AT_ONCE);
    const before = await stored(door);
    for (let i = 0; i < COUNTED; i++) await one();
    const messages = ((await stored(door)) - before) / COUNTED;
    const many = amount(SATURATED, scale);
    const used: Used[] = [];
    const [bare, full] = await inTurn(
      () => publishes(Math.round(many * messages), AT_ONCE),
      async () => {
        const lap = await probe.during(() => timed(many, AT_ONCE, one));
        used.push(lap);
        return lap.seconds;
      },
    );
    times.length = 0;
    const few = amount(ALONE, scale);
    const [bareAlone] = await inTurn(
      () => publishes(Math.round(few * messages), 1),
      () => timed(few, 1, one),
    );
    const publishMs = (bareAlone / (Math.round(few * messages) * PARTS)) * 1_000;
    const all = addUsed(used);
    return {
      messages,
      bare: (Math.round(many * messages) * PARTS) / bare,
      rate: (many * PARTS) / full,
      ratio: bare / full,
      cpuMs: all.cpuMs / (many * PARTS),
      serverCpuMs: all.serverCpuMs / (many * PARTS),
      ...{ rssMb: all.rssMb, serverRssMb: all.serverRssMb },
      p50Ms: percentile(times, 50),
      p99Ms: percentile(times, 99),
      publishes: percentile(times, 50) / publishMs,
    };
  } finally {
    await client.close();
    await serving.drain(1_000);
  }
}

function figures(rounds: readonly Figures[], sync: Sync | undefined): readonly Figure[] {
  const rest = {
    figure: `functions.3.${sync ?? 'lazy'}.bare`,
    unit: 'runs/s',
    against: 'as many js.publish as a run stores',
  };
  return figuresOf(figureOf(rounds, { value: 'rate', ratio: 'ratio' }, rest));
}

export const bareBenchmark: ServerBenchmark = {
  name: 'bare',
  what: `durable functions of ${STEPS} steps, beside as many bare publishes as such a run stores`,
  kind: 'server',
  rows: [
    { key: 'messages', label: 'messages stored per run', digits: 1 },
    { key: 'bare', label: `js.publish/s, ${AT_ONCE} in flight`, digits: 0 },
    { key: 'rate', label: `runs/s, ${AT_ONCE} open`, digits: 0 },
    { key: 'ratio', label: 'ratio of rates: runs / their publishes', digits: 2 },
    { key: 'cpuMs', label: 'processor ms per run, client and worker', digits: 2 },
    { key: 'serverCpuMs', label: 'processor ms per run, nats-server', digits: 2 },
    { key: 'rssMb', label: 'memory MB, client and worker', digits: 0 },
    { key: 'serverRssMb', label: 'memory MB, nats-server', digits: 0 },
    { key: 'p50Ms', label: 'one run at a time, p50 ms', digits: 2 },
    { key: 'p99Ms', label: 'one run at a time, p99 ms', digits: 2 },
    { key: 'publishes', label: 'a run takes as long as so many publishes', digits: 1 },
  ],
  figures,
  round,
};
