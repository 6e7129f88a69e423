/** The scale benchmarks as bench/main.ts runs them. A smaller run than the target speaks of gives its figures other names. */
import { type Figure, type FreeBenchmark, figureOf, figuresOf, type Sync } from '../benchmark.ts';
import type { Figures, Row } from '../summary.ts';
import { cold } from './cold.ts';
import { type LinearRow, linear } from './linear.ts';
import { keepSeries } from './series.ts';
import { type ShapeName, shapeOf } from './shape.ts';
import { type SleepersLook, sleepers } from './sleepers.ts';
import { soak } from './soak.ts';

const WORDS: Readonly<Record<ShapeName, string>> = { declared: 'declared workflows', functions: 'durable functions' };
const suffixOf = (shape: ShapeName): string => (shape === 'declared' ? '' : `-${shape}`);

const COLD_RUNS = 10_000;

export function coldBenchmark(shape: ShapeName): FreeBenchmark {
  const at = (rounds: readonly Figures[], name: string): string => {
    const runs = rounds[0]?.['runs'] ?? COLD_RUNS;
    return runs === COLD_RUNS ? name : `${name}.${runs}`;
  };
  return {
    name: `cold${suffixOf(shape)}`,
    kind: 'free',
    syncs: ['lazy', 'always'],
    maxRounds: 2,
    ...(shape === 'functions' ? { notQuick: 'cold stands for it' } : {}),
    what: `${WORDS[shape]}: kill -9 of the process that decides, ${COLD_RUNS.toLocaleString('en')} runs open and signals coming in`,
    rows: [
      { key: 'runs', label: 'runs', digits: 0 },
      { key: 'openAtKill', label: 'open when it was killed', digits: 0 },
      { key: 'openedSeconds', label: 'undisturbed: start to gate of all of them, s', digits: 1 },
      { key: 'readySeconds', label: 'launch to ready, s', digits: 2 },
      { key: 'firstSeconds', label: 'launch to first transition, s', digits: 2 },
      { key: 'movedSeconds', label: 'launch to all moved on, s', digits: 1 },
      { key: 'allSeconds', label: 'launch to all ended, s', digits: 1 },
      { key: 'heldAtKill', label: 'inputs that the dead process held', digits: 0 },
      { key: 'lookups', label: 'look-ups of earlier inputs', digits: 0 },
      { key: 'peakRssMb', label: 'largest memory of the new process, MB', digits: 0 },
    ],
    async round({ scale, quick, sync = 'lazy', dir, progress, onAbort }) {
      const runs = quick ? Math.max(200, COLD_RUNS * scale) : COLD_RUNS;
      const result = await cold({ dir, sync, shape: shapeOf(shape), runs, progress, onAbort });
      return {
        ...result,
        firstRatio: result.readySeconds / result.firstSeconds,
        allRatio: result.openedSeconds / result.allSeconds,
      };
    },
    figures: (rounds, sync) =>
      figuresOf(
        figureOf(
          rounds,
          { value: 'firstSeconds', ratio: 'firstRatio' },
          {
            figure: at(rounds, 'cold.first'),
            unit: 's',
            against: `its own health check saying ready, ${WORDS[shape]}, ${sync}`,
          },
        ),
        figureOf(
          rounds,
          { value: 'allSeconds', ratio: 'allRatio' },
          {
            figure: at(rounds, 'cold.all'),
            unit: 's',
            against: `bringing the same runs to their gate undisturbed, ${WORDS[shape]}, ${sync}`,
          },
        ),
      ),
  };
}

const COUNTS = [10_000, 1_000_000] as const;
const QUICK_COUNTS = [2_000] as const;
const LOOK: readonly (readonly [keyof SleepersLook, string, number])[] = [
  ['createdPerSecond', 'put to sleep per second', 0],
  ['startsPerSecond', 'runs/s beside them, 64 open', 0],
  ['startsBeside', 'runs/s where none sleeps', 0],
  ['startMs', 'a run alone beside them, p50 ms', 2],
  ['startMsBeside', 'a run alone where none sleeps, p50 ms', 2],
  ['driverPeakMb', 'largest memory of the process that decides, MB', 0],
  ['driverRssMb', 'its memory now, MB', 0],
  ['driverRssMbBeside', 'its memory where none sleeps, MB', 0],
  ['serverRssMb', 'nats-server, MB', 0],
  ['serverRssMbBeside', 'nats-server where none sleeps, MB', 0],
  ['messages', 'messages in streams', 0],
  ['streamMb', 'MB in streams', 0],
];

const short = (count: number): string =>
  count >= 1_000_000 ? `${count / 1_000_000}m` : count >= 1_000 ? `${count / 1_000}k` : String(count);

function looksOf(rounds: readonly Figures[], shape: ShapeName): readonly Figure[] {
  const beside = `the same system with none asleep, ${WORDS[shape]}`;
  return [...new Set([...COUNTS, ...QUICK_COUNTS])].flatMap((count) => {
    const starts = { value: `startsPerSecond${count}`, ratio: `startsRatio${count}` };
    const rss = { value: `driverPeakMb${count}`, ratio: `rssRatio${count}` };
    const whole = count === 1_000_000;
    return figuresOf(
      figureOf(rounds, starts, { figure: `starts.sleeping.${short(count)}`, unit: 'runs/s', against: beside }),
      figureOf(rounds, starts, {
        figure: whole ? 'sleepers.starts' : `sleepers.starts.${short(count)}`,
        unit: 'runs/s',
        against: beside,
      }),
      figureOf(rounds, rss, {
        figure: whole ? 'sleepers.rss' : `sleepers.rss.${short(count)}`,
        unit: 'MB',
        against: beside,
        note: 'the largest memory the process ever had, putting them to sleep included',
      }),
    );
  });
}

export function sleepersBenchmark(shape: ShapeName): FreeBenchmark {
  const rows = [...QUICK_COUNTS, ...COUNTS].flatMap((count) =>
    LOOK.map(([key, label, digits]): Row => ({ key: `${key}${count}`, label: `${short(count)}: ${label}`, digits })),
  );
  return {
    name: `sleepers${suffixOf(shape)}`,
    kind: 'free',
    long: true,
    limitSeconds: 3_600,
    maxRounds: 1,
    what: `${WORDS[shape]}: 10,000 and 1,000,000 runs asleep (lazy sync), beside a system with none`,
    rows: [
      ...rows,
      { key: 'restartSeconds', label: 'process killed and started again, to the end of a run, s', digits: 2 },
      { key: 'restartRssMb', label: 'its memory then, MB', digits: 0 },
    ],
    async round({ quick, dir, progress, onAbort }) {
      const counts = quick ? QUICK_COUNTS : COUNTS;
      const starts = quick ? 200 : 600;
      const { looks, ...again } = await sleepers({ dir, shape: shapeOf(shape), counts, starts, progress, onAbort });
      const figures: Record<string, number> = { ...again };
      for (const look of looks) {
        for (const [key] of LOOK) figures[`${key}${look.sleeping}`] = look[key];
        figures[`startsRatio${look.sleeping}`] = look.startsPerSecond / look.startsBeside;
        figures[`rssRatio${look.sleeping}`] = look.driverRssMbBeside / look.driverPeakMb;
      }
      return figures;
    },
    figures: (rounds) => looksOf(rounds, shape),
  };
}

const SOAK_MINUTES = 30;
const QUICK_MINUTES = 2;

export function soakBenchmark(shape: ShapeName): FreeBenchmark {
  const at = (rounds: readonly Figures[], name: string): string => {
    const minutes = rounds[0]?.['minutes'] ?? SOAK_MINUTES;
    return minutes === SOAK_MINUTES ? name : `${name}.${minutes}min`;
  };
  return {
    name: `soak${suffixOf(shape)}`,
    kind: 'free',
    long: true,
    syncs: ['lazy'],
    maxRounds: 1,
    limitSeconds: (SOAK_MINUTES + 7) * 60,
    notQuick: `it takes half an hour; by name it runs for ${QUICK_MINUTES} minutes, bench/scale/main.ts soak --minutes N as long as told`,
    what: `${WORDS[shape]}: ${SOAK_MINUTES} minutes at 70 % of the rate that it sustains for one, tracing and metrics on`,
    rows: [
      { key: 'minutes', label: 'minutes', digits: 0 },
      { key: 'saturatedPerSecond', label: 'saturated, runs/s over a minute', digits: 0 },
      { key: 'saturatedLeast', label: 'the same, its slowest ten seconds', digits: 0 },
      { key: 'perSecond', label: 'offered, runs/s', digits: 0 },
      { key: 'firstMb', label: 'memory, first third after warm-up, MB (the process that grew most)', digits: 1 },
      { key: 'lastMb', label: 'memory, last third, MB', digits: 1 },
      { key: 'mbPerHour', label: 'slope, MB an hour', digits: 1 },
      { key: 'loopP99Ms', label: 'event loop delay, p99 of 10 s, median, ms', digits: 1 },
      { key: 'loopWorstMs', label: 'event loop delay, p99 of 10 s, worst, ms', digits: 1 },
      { key: 'waitPercent', label: 'of the time ready and without a core, %', digits: 1 },
      { key: 'gcPercent', label: 'of the time in garbage collection, %', digits: 1 },
      { key: 'othersPercent', label: 'of the machine taken by others, %', digits: 1 },
      { key: 'p50Ms', label: 'a run, p50 ms, median of the minutes', digits: 1 },
      { key: 'p99Ms', label: 'a run, p99 ms, worst minute', digits: 1 },
    ],
    async round({ dir, quick, sync = 'lazy', progress, onAbort }) {
      const options = { dir, sync, shape: shapeOf(shape), progress, onAbort };
      const result = await soak({ ...options, minutes: quick ? QUICK_MINUTES : SOAK_MINUTES });
      // A series that is in the repository is never that of a quick look.
      if (!quick) progress(`series in ${await keepSeries(`soak-${shape}-${sync}`, result)}`);
      const { verdict, minutes, saturatedPerSecond, saturatedWindows, perSecond } = result;
      const { firstMb, lastMb, ratio, mbPerHour } = verdict.worst;
      const p50s = minutes.map(({ p50Ms }) => p50Ms).sort((a, b) => a - b);
      return {
        ...{ saturatedPerSecond, perSecond, firstMb, lastMb, ratio, mbPerHour },
        ...{ loopP99Ms: verdict.loopP99Ms, loopWorstMs: verdict.loopWorstMs, loopRatio: 20 / verdict.loopP99Ms },
        ...{ waitPercent: 100 * verdict.waitShare, gcPercent: 100 * verdict.gcShare },
        othersPercent: 100 * verdict.othersShare,
        ...{ saturatedLeast: Math.min(...saturatedWindows), minutes: quick ? QUICK_MINUTES : SOAK_MINUTES },
        p50Ms: p50s[Math.floor(p50s.length / 2)] ?? Number.NaN,
        p99Ms: Math.max(...minutes.map(({ p99Ms }) => p99Ms)),
      };
    },
    figures: (rounds) =>
      figuresOf(
        figureOf(
          rounds,
          { value: 'lastMb', ratio: 'ratio' },
          { figure: at(rounds, 'soak.memory'), unit: 'MB', against: `the first third after warm-up, ${WORDS[shape]}` },
        ),
        figureOf(
          rounds,
          { value: 'loopP99Ms', ratio: 'loopRatio' },
          {
            figure: at(rounds, 'soak.loop'),
            unit: 'ms',
            against: `the limit of 20 ms, ${WORDS[shape]}`,
            note: "the monitor's own interval of 10 ms is taken off; median of the 99th percentiles of ten seconds each",
          },
        ),
      ),
  };
}

const DRIVERS = [1, 2, 4] as const;
const WORK: readonly (readonly [keyof LinearRow, string, number])[] = [
  ['runsPerSecond', 'runs/s', 0],
  ['messages', 'messages stored per run', 2],
  ['bytes', 'bytes stored per run', 0],
  ['wireIn', 'messages to the server per run', 1],
  ['wireOut', 'messages from the server per run', 1],
  ['apiCalls', 'API calls per run', 2],
  ['flushes', 'disk flushes per run (of the whole machine)', 2],
  ['writeCalls', 'write() calls of the server per run', 1],
  ['driverCpuMs', 'processor ms per run, who decides', 2],
  ['workerCpuMs', 'processor ms per run, worker', 2],
  ['serverCpuMs', 'processor ms per run, server', 2],
  ['conflicts', 'conflicts per run', 2],
  ['lookups', 'look-ups per run', 2],
];

export function linearBenchmark(shape: ShapeName): FreeBenchmark {
  const constant = (rounds: readonly Figures[], sync: Sync | undefined, key: keyof LinearRow, unit: string) =>
    figureOf(
      rounds,
      { value: `${key}4`, ratio: `${key}Ratio` },
      { figure: `linear.${key}`, unit, against: `2 processes, ${WORDS[shape]}, ${sync}` },
    );
  return {
    name: `linear${suffixOf(shape)}`,
    kind: 'free',
    syncs: ['lazy', 'always'],
    maxRounds: 1,
    notQuick: 'work per run is counted over thousands of runs, and five minutes are short',
    what: `${WORDS[shape]} of three steps: rate and work per run with 1, 2 and 4 processes that decide`,
    rows: DRIVERS.flatMap((count) =>
      WORK.map(([key, label, digits]) => ({ key: `${key}${count}`, label: `${count}: ${label}`, digits })),
    ),
    async round({ dir, sync = 'lazy', quick, progress, onAbort }) {
      const options = { dir, sync, shape: shapeOf(shape), drivers: DRIVERS, runs: quick ? 500 : 3_000 };
      const rows = await linear({ ...options, progress, onAbort });
      const figures: Record<string, number> = {};
      for (const row of rows) for (const [key] of WORK) figures[`${key}${row.drivers}`] = row[key];
      for (const key of ['messages', 'wireIn'] as const) {
        figures[`${key}Ratio`] = (figures[`${key}2`] ?? Number.NaN) / (figures[`${key}4`] ?? Number.NaN);
      }
      return figures;
    },
    figures: (rounds, sync) =>
      figuresOf(
        constant(rounds, sync, 'messages', 'messages per run'),
        constant(rounds, sync, 'wireIn', 'messages per run'),
      ),
  };
}

/** All of them, in the order they run. */
export const SCALE_BENCHMARKS: readonly FreeBenchmark[] = (['declared', 'functions'] as const).flatMap((shape) => [
  coldBenchmark(shape),
  linearBenchmark(shape),
  sleepersBenchmark(shape),
  soakBenchmark(shape),
]);
