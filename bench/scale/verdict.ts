/** What a soak's samples mean. Pure. */
import { percentile } from '../summary.ts';

export interface NodeSample {
  readonly rssMb: number;
  readonly cpuMs: number;
  readonly heapMb: number;
  readonly externalMb: number;
  readonly loopP99Ms: number;
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
  /** The benchmark's own process. */
  readonly bench: { readonly rssMb: number; readonly open: number };
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
}

export interface Verdict {
  readonly growth: readonly Growth[];
  /** The worst of driver and worker: what counts. The server is shown and not judged: it keeps what it is given. */
  readonly worst: Growth;
  /** Median and largest of the samples' 99th percentiles, each of ten seconds, over driver and worker, after warm-up. */
  readonly loopP99Ms: number;
  readonly loopWorstMs: number;
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

function growthOf(process: Growth['process'], points: readonly { readonly x: number; readonly y: number }[]): Growth {
  const third = Math.max(1, Math.floor(points.length / 3));
  const mb = points.map(({ y }) => y);
  const [firstMb, lastMb] = [median(mb.slice(0, third)), median(mb.slice(-third))];
  return { process, firstMb, lastMb, ratio: firstMb / lastMb, mbPerHour: slopePerHour(points) };
}

/** Judges the samples after the first fifth of them. */
export function verdictOf(samples: readonly Sample[]): Verdict {
  const warm = samples.slice(Math.ceil(samples.length * WARM));
  const points = (of: (sample: Sample) => number | undefined) =>
    warm.flatMap((one) => {
      const y = of(one);
      return y === undefined ? [] : [{ x: one.second, y }];
    });
  const driver = growthOf(
    'driver',
    points((one) => one.driver.rssMb),
  );
  const worker = points((one) => one.worker?.rssMb);
  const judged = worker.length === 0 ? [driver] : [driver, growthOf('worker', worker)];
  const worst = judged.reduce((a, b) => (b.ratio < a.ratio ? b : a));
  const loops = warm.map((one) => Math.max(one.driver.loopP99Ms, one.worker?.loopP99Ms ?? 0));
  return {
    growth: [
      ...judged,
      growthOf(
        'server',
        points((one) => one.server.rssMb),
      ),
    ],
    worst,
    loopP99Ms: median(loops),
    loopWorstMs: Math.max(...loops),
    enough: warm.length >= ENOUGH,
  };
}

/** The verdict in words. */
export function formatVerdict({ growth, worst, loopP99Ms, loopWorstMs, enough }: Verdict): string {
  return [
    ...growth.map(
      ({ process, firstMb, lastMb, mbPerHour }) =>
        `${process}: ${firstMb.toFixed(1)} MB in the first third after warm-up, ${lastMb.toFixed(1)} MB in the last, ` +
        `${mbPerHour >= 0 ? '+' : ''}${mbPerHour.toFixed(1)} MB an hour`,
    ),
    `memory: worst is the ${worst.process} with ${worst.ratio.toFixed(3)} (1 is flat)`,
    `event loop: p99 of ten seconds ${loopP99Ms.toFixed(1)} ms in the median, ${loopWorstMs.toFixed(1)} ms at worst (10 ms of it are the monitor's own interval)`,
    ...(enough ? [] : ['too few samples after warm-up to mean much']),
  ].join('\n');
}
