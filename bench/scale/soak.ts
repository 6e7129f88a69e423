/**
 * Hours of service in minutes: runs arrive at 70 % of the rate the system can do, whatever becomes of them, with tracing, metrics and
 * log as in production; memory must stay flat and event loops free.
 *
 * First the rate that it sustains is measured (`saturate.ts`), then arrivals follow a schedule of their own (Poisson) and a run's time
 * counts from when it was meant to start. What ended two minutes ago is purged from the streams, a little every few seconds, as
 * retention would do it: otherwise the disk and the server's index grow with every run, and the soak would only measure that; and a
 * whole minute purged at once holds the stream up. Everything is sampled every ten seconds. The memory verdict compares the median
 * of the last third of the samples with that of the first third, both after warm-up.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { ServerHandle } from '../../ops/stack/index.ts';
import { STREAMS } from '../../src/kernel/index.ts';
import { spread } from '../summary.ts';
import { schedule } from '../systems/arrivals.ts';
import type { Sync } from '../systems/system.ts';
import { type Load, openLoad } from './load.ts';
import { openRig, type Rig } from './rig.ts';
import { Sampler } from './sampling.ts';
import { type Sustained, sustained } from './saturate.ts';
import { inputsOf, type Shape } from './shape.ts';
import { openSink, type Sink } from './sink.ts';
import { type Minute, type Sample, type Verdict, verdictOf } from './verdict.ts';

export interface SoakOptions {
  readonly dir: string;
  readonly shape: Shape;
  readonly sync: Sync;
  readonly minutes: number;
  /** Of the saturated rate; 0.7 unless told. */
  readonly share?: number;
  /** Ends it early; the verdict is of what was sampled by then. */
  readonly signal?: AbortSignal;
  progress(text: string): void;
  onAbort(stop: () => Promise<void>): void;
  /** Told of everything so far after each minute, so that an interrupted soak leaves its series behind. */
  keep?(series: SoakSeries): Promise<void>;
}

export interface SoakSeries {
  readonly shape: string;
  readonly sync: Sync;
  readonly saturatedPerSecond: number;
  /** The same in windows of ten seconds: how steady it was. */
  readonly saturatedWindows: Sustained['windows'];
  readonly perSecond: number;
  readonly seed: number;
  readonly samples: readonly Sample[];
  readonly minutes: readonly Minute[];
  /** Requests with spans that the processes sent. */
  readonly traceRequests: number;
}

export interface SoakResult extends SoakSeries {
  readonly verdict: Verdict;
}

/** As the other benchmarks that load systems (docs/benchmarks.md), and as docs/operations.md advises. */
const NODE_ARGS = ['--max-semi-space-size=64'] as const;
const SAMPLE_MS = 10_000;
const MINUTE_MS = 60_000;
const PURGE_MS = 5_000;
/** Between the last run of the saturated minute and the first of the soak: spans are sent, backlogs worked off. */
const REST_MS = 5_000;
const KEEP_MS = 120_000;
const SEED = 4;
/** More runs open than this: it does not keep up, and the rest of the soak would measure a growing heap of the benchmark's own. */
const TOO_MANY = 50_000;
const PAYLOAD = { text: 'x'.repeat(128) } as const;

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { dir, shape, sync, progress, onAbort } = options;
  const sink = await openSink();
  onAbort(sink.close);
  const rig = await openRig({ dir, sync, shape, otlpUrl: sink.url, nodeArgs: NODE_ARGS });
  onAbort(rig.close);
  try {
    const definition = shape.definition('chain');
    await rig.apply(definition);
    const driver = await rig.startDriver('driver');
    const worker = await rig.startWorker('worker');
    const load = openLoad(rig.door, shape, definition);
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    const purging = every(PURGE_MS, signal, purger(rig, [inputsOf(definition).stream, STREAMS.events]));
    let result: SoakResult;
    try {
      progress('the rate it sustains is measured: 80 s');
      const most = await sustained(load, PAYLOAD, options.signal);
      await pause(REST_MS, undefined, { signal }).catch(() => undefined);
      result = await offered({ ...options, signal }, { rig, load, driver, worker, most, sink });
    } finally {
      over.abort();
      await purging;
    }
    load.close();
    return result;
  } finally {
    await rig.close();
    await sink.close();
  }
}

interface Parts {
  readonly rig: Rig;
  readonly load: Load;
  readonly driver: ServerHandle;
  readonly worker: ServerHandle | undefined;
  readonly most: Sustained;
  readonly sink: Sink;
}

/** The soak itself: arrivals at their share of `most`, watched. */
async function offered(options: SoakOptions, { rig, load, driver, worker, most, sink }: Parts): Promise<SoakResult> {
  const { shape, sync, minutes, share = 0.7, progress, keep } = options;
  const perSecond = most.perSecond * share;
  const steady = most.windows.map((rate) => rate.toFixed(0)).join(' ');
  progress(`it sustains ${most.perSecond.toFixed(0)} runs/s (${steady}); ${perSecond.toFixed(0)}/s for ${minutes} min`);
  const state: SoakState = { samples: [], took: [], minutes: [], begun: performance.now() };
  const series = (): SoakSeries => ({
    ...{ shape: shape.name, sync, saturatedPerSecond: most.perSecond, saturatedWindows: most.windows, perSecond },
    ...{ seed: SEED, samples: state.samples, minutes: state.minutes, traceRequests: sink.requests },
  });
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  const sampler = new Sampler(rig, load, driver, worker, state.begun);
  await sampler.sample(); // what came before is not the soak's
  const watching = Promise.all([
    every(SAMPLE_MS, signal, async () => void state.samples.push(await sampler.sample())),
    every(MINUTE_MS, signal, async () => {
      endMinute(state, progress);
      await keep?.(series());
    }),
  ]);
  try {
    await arrivals(load, perSecond, minutes * 60, state, signal);
  } finally {
    over.abort();
    await watching;
    sampler.close();
  }
  return { ...series(), verdict: verdictOf(state.samples) };
}

interface SoakState {
  readonly samples: Sample[];
  /** Latencies since the last minute ended. */
  took: number[];
  readonly minutes: Minute[];
  readonly begun: number;
}

async function arrivals(
  load: Load,
  perSecond: number,
  seconds: number,
  state: SoakState,
  signal: AbortSignal,
): Promise<void> {
  const origin = performance.now();
  let failed: { readonly error: unknown } | undefined;
  const underWay = new Set<Promise<void>>();
  // Schedules of a minute each: half an hour of arrivals need not be known beforehand.
  for (let minute = 0; minute * 60 < seconds && !signal.aborted; minute++) {
    const length = Math.min(60, seconds - minute * 60);
    for (const at of schedule('poisson', perSecond, length, SEED + minute)) {
      const due = origin + minute * 60_000 + at;
      const wait = due - performance.now();
      if (wait > 1) await pause(wait, undefined, { signal }).catch(() => undefined);
      if (signal.aborted || failed !== undefined) break;
      const run: Promise<void> = load
        .run(PAYLOAD, due)
        .then(
          (ms) => void state.took.push(ms),
          (error: unknown) => {
            failed ??= { error };
          },
        )
        .finally(() => underWay.delete(run));
      underWay.add(run);
      if (load.open > TOO_MANY) throw new Error(`${TOO_MANY} runs are open: the system does not keep up`);
    }
    if (failed !== undefined) throw failed.error;
  }
  await Promise.race([Promise.all(underWay), pause(30_000, undefined, { ref: false })]);
}

async function every(ms: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await pause(ms, undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) await work();
  }
}

/** Purges what was stored two minutes ago: runs of this workflow end within seconds. */
function purger({ door }: Rig, streams: readonly string[]): () => Promise<void> {
  const marks: { readonly at: number; readonly last: ReadonlyMap<string, number> }[] = [];
  return async () => {
    const last = new Map<string, number>();
    for (const stream of streams) last.set(stream, (await door.jsm.streams.info(stream)).state.last_seq);
    marks.push({ at: performance.now(), last });
    const old = marks[0];
    if (old === undefined || performance.now() - old.at < KEEP_MS) return;
    marks.shift();
    for (const [stream, seq] of old.last) await door.jsm.streams.purge(stream, { seq });
  };
}

function endMinute(state: SoakState, progress: SoakOptions['progress']): void {
  const { took } = state;
  state.took = [];
  const sorted = Float64Array.from(took).sort();
  const at = (percent: number): number =>
    sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
  const minute = { ended: took.length, p50Ms: at(50), p99Ms: at(99), maxMs: at(100) };
  state.minutes.push(minute);
  const last = state.samples.at(-1);
  const loop = spread(state.samples.slice(-6).map(({ driver }) => driver.loopP99Ms)).max;
  progress(
    `minute ${state.minutes.length}: ${minute.ended} runs, p50 ${minute.p50Ms.toFixed(1)} ms, p99 ${minute.p99Ms.toFixed(1)} ms; ` +
      `driver ${last?.driver.rssMb.toFixed(0)} MB, worker ${last?.worker?.rssMb.toFixed(0) ?? '-'} MB, ` +
      `server ${last?.server.rssMb.toFixed(0)} MB; loop p99 ${loop.toFixed(1)} ms, ` +
      `${(100 * (last?.driver.waitShare ?? 0)).toFixed(0)} % waiting for a core, ` +
      `others ${(100 * (last?.othersShare ?? 0)).toFixed(0)} %`,
  );
}
