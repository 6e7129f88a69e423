/**
 * `make bench`: what Millrace costs, each figure beside something simpler run in the same minute on the same server.
 * Figures belong to the machine and its load, ratios travel better.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startNats } from '../ops/stack/index.ts';
import { connectNats } from '../src/drivers/index.ts';
import { appendBenchmark } from './append.ts';
import type { PureBenchmark, ServerBenchmark, Sync } from './benchmark.ts';
import { coreBenchmark } from './core.ts';
import { engineBenchmark } from './engine.ts';
import { openProbe } from './probe.ts';
import { type Figures, formatSummary, spread, summarize } from './summary.ts';
import { workerBenchmark } from './worker.ts';

const BENCHMARKS: readonly (PureBenchmark | ServerBenchmark)[] = [
  engineBenchmark,
  appendBenchmark,
  coreBenchmark,
  workerBenchmark,
];
const SYNCS: readonly Sync[] = ['always', 'lazy'];
const QUICK = 0.1;

const HELP = `usage: node --import tsx bench/main.ts [name…] [--quick] [--json] [--rounds N] [--sync always|lazy]

Benchmarks (all of them when none is named):
${BENCHMARKS.map(({ name, what }) => `  ${name.padEnd(11)} ${what}`).join('\n')}

  --rounds N  rounds (default 5); each has a server of its own per benchmark and sync setting
  --sync S    one sync_interval only: always (our default), or lazy (the server's own, two minutes)
  --quick     a tenth of the work and one round: to see that it works, not to quote
  --json      every round and the summary as one JSON document on stdout
  --help      this text
Progress goes to stderr.
`;

/** What must not stay behind when the program is interrupted. */
let leftovers: (() => Promise<void>) | undefined;

async function onServer(benchmark: ServerBenchmark, sync: Sync, scale: number): Promise<Figures> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
  const remove = (): Promise<void> => rm(dir, { recursive: true, force: true });
  leftovers = remove;
  try {
    // The last of two settings in a server's configuration counts; two minutes is the server's own default.
    const extra = sync === 'always' ? {} : { extraConf: 'jetstream { sync_interval: "2m" }' };
    const nats = await startNats({ dir, ...extra });
    leftovers = () => nats.stop().finally(remove);
    try {
      const door = await connectNats({ url: nats.url, name: 'bench' });
      try {
        return await benchmark.round(
          door,
          scale,
          openProbe(() => [nats.pid]),
        );
      } finally {
        await door.close();
      }
    } finally {
      await nats.stop();
    }
  } finally {
    await remove();
  }
}

interface Series {
  readonly benchmark: PureBenchmark | ServerBenchmark;
  /** undefined: no server takes part. */
  readonly sync: Sync | undefined;
  readonly rounds: Figures[];
}

const titleOf = ({ benchmark, sync }: Series): string =>
  `${benchmark.name}: ${benchmark.what}${sync === undefined ? '' : `; sync_interval ${sync}`}`;

interface Wanted {
  readonly series: readonly Series[];
  readonly rounds: number;
  readonly quick: boolean;
  readonly json: boolean;
}

async function run({ series, rounds, quick, json }: Wanted): Promise<void> {
  const loads: number[] = [];
  for (let n = 1; n <= rounds; n++) {
    for (const one of series) {
      const load = loadavg()[0] ?? 0;
      loads.push(load);
      const { benchmark, sync } = one;
      const begun = performance.now();
      process.stderr.write(
        `round ${n} of ${rounds}: ${benchmark.name}${sync === undefined ? '' : `, sync ${sync}`}, load ${load.toFixed(1)}`,
      );
      const scale = quick ? QUICK : 1;
      one.rounds.push(
        await (benchmark.kind === 'pure' ? benchmark.round(scale) : onServer(benchmark, sync ?? 'always', scale)),
      );
      process.stderr.write(`, ${((performance.now() - begun) / 1_000).toFixed(1)} s\n`);
    }
  }
  const machine = { cores: cpus().length, cpu: cpus()[0]?.model ?? 'unknown', node: process.version };
  const load = spread(loads);
  if (json) {
    const results = series.map((one) => ({
      benchmark: one.benchmark.name,
      sync: one.sync ?? null,
      summary: summarize(one.benchmark.rows, one.rounds),
      rounds: one.rounds,
    }));
    process.stdout.write(`${JSON.stringify({ machine, load, quick, results })}\n`);
    return;
  }
  const { min, median, max } = load;
  process.stdout.write(
    `${machine.cores} cores (${machine.cpu}), Node ${machine.node}, ${rounds} rounds${quick ? ', quick' : ''}; ` +
      `load before each benchmark, its own included: ${min.toFixed(1)} to ${max.toFixed(1)}, median ${median.toFixed(1)}\n`,
  );
  for (const one of series) {
    const { rows } = one.benchmark;
    process.stdout.write(`${formatSummary(titleOf(one), rows, summarize(rows, one.rounds))}\n`);
  }
}

/** What was asked for, or the sentence that says what is wrong with it. */
function parse(args: readonly string[]): Wanted | 'help' | { readonly wrong: string } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      sync: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const names = BENCHMARKS.map(({ name }) => name);
  const unknown = positionals.find((name) => !names.includes(name));
  if (unknown !== undefined) return { wrong: `no benchmark "${unknown}"; there are ${names.join(', ')}` };
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
  if (!Number.isInteger(rounds) || rounds < 1) {
    return { wrong: `--rounds takes a whole number from 1, not ${values.rounds}` };
  }
  const syncs = SYNCS.filter((sync) => values.sync === undefined || values.sync === sync);
  if (syncs.length === 0) return { wrong: `--sync takes ${SYNCS.join(' or ')}, not ${values.sync}` };
  const chosen = BENCHMARKS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const series = chosen.flatMap((benchmark): Series[] =>
    benchmark.kind === 'pure'
      ? [{ benchmark, sync: undefined, rounds: [] }]
      : syncs.map((sync) => ({ benchmark, sync, rounds: [] })),
  );
  return { series, rounds, quick: values.quick, json: values.json };
}

async function main(): Promise<number> {
  let wanted: ReturnType<typeof parse>;
  try {
    wanted = parse(process.argv.slice(2));
  } catch (error) {
    wanted = { wrong: error instanceof Error ? error.message : String(error) }; // an option there is not
  }
  if (wanted === 'help') {
    process.stdout.write(HELP);
    return 0;
  }
  if ('wrong' in wanted) {
    process.stderr.write(`${wanted.wrong}\n\n${HELP}`);
    return 2;
  }
  // `on`, not `once`: a signal to the whole group may come twice, and the second must not cut the cleaning short.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => void (leftovers?.() ?? Promise.resolve()).finally(() => process.exit(130)));
  }
  await run(wanted);
  return 0;
}

process.exitCode = await main();
