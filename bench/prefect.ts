/**
 * From a message to a running Prefect flow, beside Prefect's own worker: same server, same flow, same minute.
 *
 * Ours: messages at fixed times (open loop); from the time JetStream stored the message to the timestamp that Prefect's
 * server gave the RUNNING state. The worker's: from the timestamp of the SCHEDULED state of a flow run that was made over
 * the API to that of its RUNNING. Runs of the worker never overlap, since each starts a process and two would slow each
 * other down; they begin at random moments of its poll.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Figure, type FreeBenchmark, type FreeContext, figureOf, figuresOf } from './benchmark.ts';
import { DispatchWatch, type Points, pointsOf, STAGES } from './prefect-stages.ts';
import { openPrefectWorld, type PrefectWorld, type StateAt } from './prefect-world.ts';
import { type Figures, percentile } from './summary.ts';

const EVERY_MS = 1_500;
/** Before the worker's turn, and as many after it. */
const OURS = 12;
const WARM_UP = 4;
const DEFAULT_QUERY_SECONDS = 10;
const DEFAULT_RUNS = 9;
/** Its poll is a request with a transaction; oftener than this a handful of workers would keep the server busy. */
const QUICK_QUERY_SECONDS = 1;
const QUICK_RUNS = 6;
const DEADLINE_MS = 120_000;

/** Sends messages at fixed times; gives the points of their runs. */
async function openLoop(world: PrefectWorld, dispatches: DispatchWatch, count: number): Promise<Points[]> {
  const begun = performance.now();
  const sequences = new Set<number>();
  for (let i = 0; i < count; i++) {
    await pause(Math.max(0, begun + i * EVERY_MS - performance.now()));
    sequences.add(await world.trigger());
  }
  for (const deadline = Date.now() + DEADLINE_MS; ; await pause(200)) {
    const points = await pointsOf(world.door, sequences, dispatches, (id) => world.statesOf(id));
    if (points.length === count) return points;
    if (Date.now() > deadline) throw new Error(`${count - points.length} of ${count} runs do not run`);
  }
}

const at = (states: readonly StateAt[], type: string): number =>
  states.find((state) => state.type === type)?.at ?? Number.NaN;

/** Ms from SCHEDULED to RUNNING of runs one after another, with a worker that queries so often. */
async function stock(
  world: PrefectWorld,
  querySeconds: number | undefined,
  { warmUp, count }: { warmUp: number; count: number },
): Promise<number[]> {
  const worker = await world.startWorker(querySeconds);
  try {
    const times: number[] = [];
    for (let i = 0; i < warmUp + count; i++) {
      await pause(Math.random() * (querySeconds ?? DEFAULT_QUERY_SECONDS) * 1_000);
      const states = await world.statesOf(await world.createStockRun());
      if (i >= warmUp) times.push(at(states, 'RUNNING') - at(states, 'SCHEDULED'));
    }
    return times;
  } finally {
    await worker.stop();
  }
}

const atLeastTwo = (count: number): number => Math.max(2, Math.round(count));

async function round({ scale, dir, progress, describe, onAbort }: FreeContext): Promise<Figures> {
  const world = await openPrefectWorld(dir, onAbort);
  describe('Prefect', 'provisioned server on SQLite (ops/prefect/server), nothing else running on it');
  describe(
    'stock worker',
    'prefect worker start --type process, same server, flow and machine; its default poll of 10 s, and 1 s',
  );
  const dispatches = new DispatchWatch(world.door);
  try {
    await openLoop(world, dispatches, WARM_UP);
    const each = Math.max(4, Math.round(OURS * scale));
    progress(`${each} messages`);
    const points = await openLoop(world, dispatches, each);
    progress(`stock worker, polling every ${QUICK_QUERY_SECONDS} s`);
    const quick = await stock(world, QUICK_QUERY_SECONDS, { warmUp: 1, count: atLeastTwo(QUICK_RUNS * scale) });
    progress('stock worker, default poll');
    const stockTimes = await stock(world, undefined, { warmUp: 0, count: atLeastTwo(DEFAULT_RUNS * scale) });
    progress(`${each} messages`);
    points.push(...(await openLoop(world, dispatches, each)));
    return measured(points, stockTimes, quick);
  } finally {
    dispatches.stop();
    await world.stop();
  }
}

function measured(points: readonly Points[], stockTimes: readonly number[], quick: readonly number[]): Figures {
  const ours = points.map(({ message, running }) => running - message);
  const told = points.map(({ message, told }) => told - message);
  const stages = STAGES.map(([from, to]) => [
    `${from}-${to}`,
    percentile(
      points.map((p) => p[to] - p[from]),
      50,
    ),
  ]);
  const p50Ms = percentile(ours, 50);
  return {
    p50Ms,
    p99Ms: percentile(ours, 99),
    toldP50Ms: percentile(told, 50),
    ...Object.fromEntries(stages),
    stockP50Ms: percentile(stockTimes, 50),
    quickP50Ms: percentile(quick, 50),
    factor: percentile(stockTimes, 50) / p50Ms,
    quickFactor: percentile(quick, 50) / p50Ms,
  };
}

const STOCK = 'stock Prefect worker';
const NOTE = `timestamps of Prefect's server; the worker polls every ${DEFAULT_QUERY_SECONDS} s, its default, and makes a process per run`;
const QUICK_NOTE = `the worker set to poll every ${QUICK_QUERY_SECONDS} s: what is left is its process per run`;

function figures(rounds: readonly Figures[]): readonly Figure[] {
  return figuresOf(
    figureOf(
      rounds,
      { value: 'p50Ms', ratio: 'factor' },
      { figure: 'prefect.running.p50', unit: 'ms', against: STOCK, note: NOTE },
    ),
    figureOf(
      rounds,
      { value: 'stockP50Ms', ratio: 'factor' },
      { figure: 'prefect.running.factor', unit: 'ms', against: STOCK, note: `the worker's own p50; ${NOTE}` },
    ),
    figureOf(
      rounds,
      { value: 'quickP50Ms', ratio: 'quickFactor' },
      {
        figure: 'prefect.running.quick',
        unit: 'ms',
        against: `${STOCK}, polling every ${QUICK_QUERY_SECONDS} s`,
        note: `the worker's own p50; ${QUICK_NOTE}`,
      },
    ),
  );
}

export const prefectBenchmark: FreeBenchmark = {
  name: 'prefect',
  what: 'from a stored message to a Prefect flow run that is Running, beside the stock worker on the same server',
  kind: 'free',
  maxRounds: 2,
  limitSeconds: 900,
  rows: [
    { key: 'p50Ms', label: 'message → Running, p50 ms', digits: 0 },
    { key: 'p99Ms', label: 'message → Running, p99 ms', digits: 0 },
    { key: 'toldP50Ms', label: "message → Running known to the run's stream, p50 ms", digits: 0 },
    ...STAGES.map(([from, to, label]) => ({ key: `${from}-${to}`, label: `  ${label}, p50 ms`, digits: 1 })),
    { key: 'stockP50Ms', label: 'stock worker (polls every 10 s, its default), p50 ms', digits: 0 },
    { key: 'quickP50Ms', label: `stock worker polling every ${QUICK_QUERY_SECONDS} s, p50 ms`, digits: 0 },
    { key: 'factor', label: 'factor: stock worker / ours', digits: 1 },
    { key: 'quickFactor', label: `factor: stock worker polling every ${QUICK_QUERY_SECONDS} s / ours`, digits: 1 },
  ],
  figures,
  round,
};
