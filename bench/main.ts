/**
 * `make bench`: what a durable run costs, as a ratio to the bare publishes it consists of, in the same minute.
 *
 *   node --import tsx bench/main.ts [--quick] [--json] [--rounds N]
 *
 * Every round starts a server of its own per sync setting, measures floor and engine alternately, and is printed; the
 * summary gives minimum, median and maximum. Figures belong to the machine and its load, ratios travel better.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startNats } from '../ops/stack/index.ts';
import { connectNats } from '../src/drivers/index.ts';
import { openBench, STEPS } from './engine.ts';
import { floor, prepareFloor } from './floor.ts';
import { type Figures, formatSummary, percentile, summarize } from './summary.ts';

const HELP = `usage: node --import tsx bench/main.ts [--quick] [--json] [--rounds N]

  --quick     fewer runs and one round: to see that it works, not to quote
  --rounds N  rounds per sync setting (default 5)
  --json      machine-readable output
`;

interface Sizes {
  readonly saturated: number;
  readonly sequential: number;
  readonly publishes: number;
}
const FULL: Sizes = { saturated: 2_000, sequential: 200, publishes: 5_000 };
const QUICK: Sizes = { saturated: 200, sequential: 30, publishes: 500 };
const AT_ONCE = 256;

async function round(sync: 'always' | 'default', sizes: Sizes): Promise<Figures> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
  // The last of two settings in a server's configuration counts; two minutes is the server's own default.
  const nats = await startNats({
    dir,
    ...(sync === 'always' ? {} : { extraConf: 'jetstream { sync_interval: "2m" }' }),
  });
  const door = await connectNats({ url: nats.url, name: 'bench' });
  try {
    await prepareFloor(door);
    const bench = await openBench(door);
    await bench.runs(50, 10); // warm: compiled code, open streams
    const messages = await bench.messagesPerRun();
    const floorMany = sizes.publishes / (await floor(door, sizes.publishes, AT_ONCE));
    const begun = performance.now();
    await bench.runs(sizes.saturated, AT_ONCE);
    const perSecond = sizes.saturated / ((performance.now() - begun) / 1_000);
    const floorOne = (await floor(door, sizes.sequential * 4, 1)) / (sizes.sequential * 4);
    const times = await bench.runs(sizes.sequential, 1);
    await bench.stop();
    return {
      messagesPerRun: messages,
      floorPerSecond: floorMany,
      runsPerSecond: perSecond,
      /** 1 would mean: as fast as its own messages published blindly. */
      saturatedRatio: (perSecond * messages) / floorMany,
      floorOneMs: floorOne * 1_000,
      runP50Ms: percentile(times, 50),
      runP99Ms: percentile(times, 99),
      /** How many bare publishes one run takes as long as. */
      sequentialRatio: percentile(times, 50) / (floorOne * 1_000),
    };
  } finally {
    await door.close();
    await nats.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const rounds = values.quick ? 1 : Number(values.rounds ?? 5);
  if (!Number.isInteger(rounds) || rounds < 1) {
    process.stderr.write(`--rounds takes a whole number from 1, not ${values.rounds}\n`);
    return 2;
  }
  const say = (line: string): void => void (values.json || process.stdout.write(`${line}\n`));
  const machine = { cores: cpus().length, node: process.version, load: loadavg()[0] ?? 0 };
  say(
    `${STEPS} steps a run, ${machine.cores} cores, Node ${machine.node}, load ${machine.load.toFixed(1)} at the start`,
  );
  const results: Record<string, Figures[]> = { always: [], default: [] };
  for (let n = 1; n <= rounds; n++) {
    for (const sync of ['always', 'default'] as const) {
      const figures = await round(sync, values.quick ? QUICK : FULL);
      results[sync]?.push(figures);
      say(
        `round ${n} of ${rounds}, sync ${sync}: ${figures.runsPerSecond.toFixed(0)} runs/s, p50 ${figures.runP50Ms.toFixed(1)} ms`,
      );
    }
  }
  const summary = Object.fromEntries(Object.entries(results).map(([sync, all]) => [sync, summarize(all)]));
  if (values.json) process.stdout.write(`${JSON.stringify({ machine, rounds, summary })}\n`);
  else for (const [sync, one] of Object.entries(summary)) say(formatSummary(sync, one));
  return 0;
}

process.exitCode = await main();
