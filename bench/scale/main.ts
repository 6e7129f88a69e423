/** The scale benchmarks by hand, each with its own switches; bench/main.ts runs the same ones with everything else. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Sync } from '../systems/system.ts';
import { cold } from './cold.ts';
import { linear } from './linear.ts';
import { keepSeries } from './series.ts';
import { SHAPES, type Shape, type ShapeName, shapeOf } from './shape.ts';
import { sleepers } from './sleepers.ts';
import { soak } from './soak.ts';
import { subjects } from './subjects.ts';
import { formatVerdict } from './verdict.ts';

const HELP = `usage: node --import tsx bench/scale/main.ts cold|sleepers|soak|linear|subjects [switches]

  cold      kill -9 of whoever decides on runs, with many open: until the first and until all have moved on
  sleepers  memory, disk and starts with many runs asleep, beside a system without any
  soak      arrivals at a share of the saturated rate for minutes: is memory flat, are event loops free
  linear    rate and work per run with 1, 2 and 4 deciding processes
  subjects  what so many subjects cost a nats-server

  --shape declared|functions   declared workflows (default), or durable functions
  --sync lazy|always           of the server (default lazy; sleepers are always lazy)
  --runs N                     cold: runs open (10000); linear: runs counted for each (2000)
  --counts A,B                 sleepers, subjects: how many at each look (10000,1000000)
  --minutes N                  soak (30)
  --share N                    soak: of the saturated rate (0.7)
Progress goes to stderr, results to stdout. Ctrl-C ends a soak early, with a verdict of what was seen; all servers are stopped.
`;

interface Switches {
  readonly shape: Shape;
  readonly sync: Sync;
  readonly runs: number | undefined;
  readonly counts: readonly number[];
  readonly minutes: number;
  readonly share: number;
}

const stops: (() => Promise<void>)[] = [];

async function stopAll(): Promise<void> {
  for (const stop of stops.splice(0).reverse()) await stop().catch(() => undefined);
}

const progress = (text: string): void => void process.stderr.write(`${text}\n`);
const onAbort = (stop: () => Promise<void>): void => void stops.push(stop);

async function runOne(name: string, dir: string, switches: Switches, signal: AbortSignal): Promise<string> {
  const { shape, sync, runs, counts, minutes, share } = switches;
  const common = { dir, shape, sync, progress, onAbort };
  switch (name) {
    case 'cold':
      return JSON.stringify(await cold({ ...common, runs: runs ?? 10_000 }), undefined, 2);
    case 'sleepers':
      return JSON.stringify(await sleepers({ ...common, counts, starts: 600 }), undefined, 2);
    case 'subjects':
      return JSON.stringify(await subjects({ ...common, counts }), undefined, 2);
    case 'linear':
      return JSON.stringify(await linear({ ...common, drivers: [1, 2, 4], runs: runs ?? 2_000 }), undefined, 2);
    case 'soak': {
      const file = `soak-${shape.name}-${sync}`;
      const keep = async (series: unknown): Promise<void> => void (await keepSeries(file, series));
      const result = await soak({ ...common, minutes, share, signal, keep });
      const path = await keepSeries(file, result);
      return `${formatVerdict(result.verdict)}\nseries: ${path}`;
    }
    default:
      throw new Error(`no benchmark "${name}"`);
  }
}

function parse(args: readonly string[]): { readonly name: string; readonly switches: Switches } | undefined {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { shape: text, sync: text, runs: text, counts: text, minutes: text, share: text },
  });
  const shape = SHAPES.find((one) => one === (values.shape ?? 'declared')) as ShapeName | undefined;
  const sync = (['lazy', 'always'] as const).find((one) => one === (values.sync ?? 'lazy'));
  const number = (value: string | undefined, otherwise: number): number => Number(value ?? otherwise);
  const counts = (values.counts ?? '10000,1000000').split(',').map(Number);
  const name = positionals[0];
  if (shape === undefined || sync === undefined || name === undefined) return undefined;
  return {
    name,
    switches: {
      shape: shapeOf(shape),
      sync,
      runs: values.runs === undefined ? undefined : Number(values.runs),
      counts,
      minutes: number(values.minutes, 30),
      share: number(values.share, 0.7),
    },
  };
}

async function main(): Promise<number> {
  const parsed = parse(process.argv.slice(2));
  if (parsed === undefined) {
    process.stderr.write(HELP);
    return 2;
  }
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      // A soak ends with its verdict; a second signal, or any other benchmark, ends at once.
      if (parsed.name === 'soak' && !interrupted.signal.aborted) return interrupted.abort();
      void stopAll().finally(() => process.exit(130));
    });
  }
  const dir = await mkdtemp(join(tmpdir(), 'millrace-scale-'));
  onAbort(() => rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
  try {
    process.stdout.write(`${await runOne(parsed.name, dir, parsed.switches, interrupted.signal)}\n`);
    return 0;
  } finally {
    await stopAll();
  }
}

process.exitCode = await main();
