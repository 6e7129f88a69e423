/** What a soak's samples mean. Pure. */
import { percentile } from '../summary.ts';

export interface NodeSample {
  readonly rssMb: number;
  readonly cpuMs: number;
  readonly heapMb: number;
  readonly externalMb: number;
  /** How late the event loop was, the monitor's own interval taken off. */
  readonly loopP99Ms: number;
  /** Of the time since the last sample: the main thread was ready to run and no core was free. */
  readonly waitShare: number;
  /** Of the same time: it collected garbage, waiting for a core included. */
  readonly gcShare: number;
}

/** Everything at one moment. */
export interface Sample {
  /** Since the soak began. */
  readonly second: number;
  /** Who decides on runs: the controller, or the worker of durable functions. */
  readonly driver: NodeSample;
  readonly worker?: NodeSample;
  readonly server: {
    readonly rssMb: number;
    readonly cpuMs: number;
    readonly messages: number;
    readonly streamMb: number;
  };
  /** Of the machine's processor time since the last sample: neither idle nor used by these processes. */
  readonly othersShare: number;
  /** The benchmark's own process. */
  readonly bench: { readonly rssMb: number; readonly open: number; readonly loopP99Ms: number };
}

export interface Minute {
  readonly ended: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** How one process's memory went: medians of the first and the last third after warm-up, and the line through all of them. */
export interface Growth {
  readonly process: 'driver' | 'worker' | 'server';
  readonly firstMb: number;
  readonly lastMb: number;
  /** first / last: 1 is flat, below 1 it grew. */
  readonly ratio: number;
  /** Median of the slopes between all pairs of samples (Theil-Sen): a spike moves it little. */
  readonly mbPerHour: number;
  /** The least heap in use in the first and the last third: about what is left after a full collection. Not known of the server. */
  readonly heapFirstMb?: number;
  readonly heapLastMb?: number;
}

export interface Verdict {
  readonly growth: readonly Growth[];
  /** The worst of driver and worker: what counts. The server is shown and not judged: it keeps what it is given. */
  readonly worst: Growth;
  /** Median and largest of the samples' 99th percentiles, each of ten seconds, over driver and worker, after warm-up. */
  readonly loopP99Ms: number;
  readonly loopWorstMs: number;
  /** Medians of the larger share of driver and worker: ready and without a core, and collecting garbage. */
  readonly waitShare: number;
  readonly gcShare: number;
  /** Median of what others took of the machine: with much of it nothing else here says much. */
  readonly othersShare: number;
  /** Whether there were enough samples after warm-up to say anything. */
  readonly enough: boolean;
}

/** The share of the samples that counts as warm-up: caches fill, the heap finds its size. */
const WARM = 0.2;
const ENOUGH = 9;

const median = (values: readonly number[]): number => percentile(values, 50);

function slopePerHour(points: readonly { readonly x: number; readonly y: number }[]): number {
  const slopes = points.flatMap((a, i) => points.slice(i + 1).map((b) => (b.y - a.y) / (b.x - a.x)));
  return slopes.length === 0 ? Number.NaN : median(slopes) * 3_600;
}

interface Point {
  /** Second. */
  readonly x: number;
  readonly rssMb: number;
  readonly heapMb?: number;
}

function growthOf(process: Growth['process'], points: readonly Point[]): Growth {
  const third = Math.max(1, Math.floor(points.length / 3));
  const [first, last] = [points.slice(0, third), points.slice(-third)];
  const [firstMb, lastMb] = [median(first.map(({ rssMb }) => rssMb)), median(last.map(({ rssMb }) => rssMb))];
  const heap = (of: readonly Point[]): number => Math.min(...of.map(({ heapMb }) => heapMb ?? Number.NaN));
  return {
    ...{ process, firstMb, lastMb, ratio: firstMb / lastMb },
    mbPerHour: slopePerHour(points.map(({ x, rssMb }) => ({ x, y: rssMb }))),
    ...(points[0]?.heapMb === undefined ? {} : { heapFirstMb: heap(first), heapLastMb: heap(last) }),
  };
}

/** Judges the samples after the first fifth of them. */
export function verdictOf(samples: readonly Sample[]): Verdict {
  const warm = samples.slice(Math.ceil(samples.length * WARM));
  const points = (of: (sample: Sample) => Omit<Point, 'x'> | undefined): readonly Point[] =>
    warm.flatMap((one) => {
      const found = of(one);
      return found === undefined ? [] : [{ ...found, x: one.second }];
    });
  const driver = growthOf(
    'driver',
    points((one) => one.driver),
  );
  const worker = points((one) => one.worker);
  const judged = worker.length === 0 ? [driver] : [driver, growthOf('worker', worker)];
  const worst = judged.reduce((a, b) => (b.ratio < a.ratio ? b : a));
  const larger = (of: (node: NodeSample) => number): readonly number[] =>
    warm.map((one) => Math.max(of(one.driver), one.worker === undefined ? 0 : of(one.worker)));
  const loops = larger(({ loopP99Ms }) => loopP99Ms);
  return {
    growth: [
      ...judged,
      growthOf(
        'server',
        points(({ server: { rssMb } }) => ({ rssMb })),
      ),
    ],
    worst,
    loopP99Ms: median(loops),
    loopWorstMs: Math.max(...loops),
    waitShare: median(larger((node) => node.waitShare)),
    gcShare: median(larger((node) => node.gcShare)),
    othersShare: median(warm.map((one) => one.othersShare)),
    enough: warm.length >= ENOUGH,
  };
}

/** The verdict in words. */
export function formatVerdict(verdict: Verdict): string {
  const { growth, worst, loopP99Ms, loopWorstMs, waitShare, gcShare, othersShare, enough } = verdict;
  const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
  const heap = ({ heapFirstMb, heapLastMb }: Growth): string =>
    heapFirstMb === undefined
      ? ''
      : `, heap after collections ${heapFirstMb.toFixed(1)} and ${heapLastMb?.toFixed(1)} MB`;
  return [
    ...growth.map(
      (one) =>
        `${one.process}: ${one.firstMb.toFixed(1)} MB in the first third after warm-up, ${one.lastMb.toFixed(1)} MB in the last, ` +
        `${one.mbPerHour >= 0 ? '+' : ''}${one.mbPerHour.toFixed(1)} MB an hour${heap(one)}`,
    ),
    `memory: worst is the ${worst.process} with ${worst.ratio.toFixed(3)} (1 is flat)`,
    `event loop: p99 of ten seconds ${loopP99Ms.toFixed(1)} ms in the median, ${loopWorstMs.toFixed(1)} ms at worst ` +
      "(the monitor's own interval taken off)",
    `of the time the main thread waited ${percent(waitShare)} for a core and spent ${percent(gcShare)} in garbage collection; ` +
      `others took ${percent(othersShare)} of the machine`,
    ...(enough ? [] : ['too few samples after warm-up to mean much']),
  ].join('\n');
}
