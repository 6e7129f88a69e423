/**
 * Runs one round of a benchmark and sees to it that nothing stays behind, however it ends.
 *
 * 1. A round that takes longer than its limit has failed; what it started is stopped then, not at the end of the program.
 * 2. An error that belongs to nobody (a stray rejection, an event without listener) fails the round under way, not the program.
 * 3. An interrupt stops what the round under way has started before the program ends.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startNats } from '../ops/stack/index.ts';
import { connectNats } from '../src/drivers/index.ts';
import type { FreeBenchmark, Gap, ServerBenchmark, Sync } from './benchmark.ts';
import type { SeriesSpec } from './options.ts';
import { openProbe } from './probe.ts';
import type { Figures } from './summary.ts';

const LIMIT_SECONDS = 600;
const STOP_MS = 15_000;

export interface RoundOptions {
  readonly scale: number;
  readonly quick: boolean;
  /** Seconds left for it, when the whole run has a limit. */
  readonly secondsLeft?: number;
  progress(text: string): void;
}

export interface RoundResult {
  readonly figures: Figures;
  readonly gaps: readonly Gap[];
  /** What a system is and how it is set, by its name. */
  readonly systems: ReadonlyMap<string, string>;
}

/** What must be stopped if the round does not come to its own end. */
class Leftovers {
  readonly #stops: (() => Promise<void>)[] = [];
  #stopped = false;

  /** After the end it is stopped at once: a round that was given up may still be starting things. */
  add(stop: () => Promise<void>): void {
    if (this.#stopped) void stop().catch(() => undefined);
    else this.#stops.push(stop);
  }

  /** The last first; gives up on what does not stop in time. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (let stop = this.#stops.pop(); stop !== undefined; stop = this.#stops.pop()) {
      await Promise.race([stop().catch(() => undefined), pause(STOP_MS, undefined, { ref: false })]);
    }
  }
}

let underWay: Leftovers | undefined;
let strayed: ((error: unknown) => void) | undefined;

/** Stops what the round under way has started. */
export async function stopLeftovers(): Promise<void> {
  await underWay?.stop();
}

/** Hands errors that belong to nobody to the round under way. @param otherwise is told when there is none */
export function catchStrays(otherwise: (error: unknown) => void): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => (strayed ?? otherwise)(error));
  }
}

/** @throws what the round throws, or Error when it takes too long */
export async function runRound(series: SeriesSpec, options: RoundOptions): Promise<RoundResult> {
  const { limitSeconds = LIMIT_SECONDS, quickSeconds = limitSeconds } = series.benchmark;
  const own = options.quick ? quickSeconds : limitSeconds;
  const seconds = Math.min(own, options.secondsLeft ?? own);
  const leftovers = new Leftovers();
  underWay = leftovers;
  const over = new AbortController();
  try {
    const late = pause(seconds * 1_000, undefined, { signal: over.signal }).then(() => {
      throw new Error(`it was not over within ${Math.round(seconds)} s`);
    });
    const stray = new Promise<never>((_resolve, reject) => {
      strayed = reject;
    });
    const until = performance.now() + seconds * 1_000;
    const work = roundOf(series, options, until, leftovers);
    for (const one of [late, stray, work]) one.catch(() => undefined); // the first to fail is heard, the others are not news
    return await Promise.race([work, late, stray]);
  } catch (error) {
    await leftovers.stop();
    throw error;
  } finally {
    over.abort();
    strayed = undefined;
    underWay = undefined;
  }
}

async function roundOf(
  series: SeriesSpec,
  options: RoundOptions,
  until: number,
  leftovers: Leftovers,
): Promise<RoundResult> {
  const { benchmark, sync } = series;
  const none = { gaps: [], systems: new Map<string, string>() };
  if (benchmark.kind === 'pure') return { ...none, figures: await benchmark.round(options.scale) };
  const dir = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
  const remove = (): Promise<void> => rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  leftovers.add(remove);
  try {
    if (benchmark.kind === 'free') return await freeRound(benchmark, sync, options, until, dir, leftovers);
    return { ...none, figures: await onServer(benchmark, sync ?? 'always', options.scale, dir, leftovers) };
  } finally {
    await remove();
  }
}

async function onServer(
  benchmark: ServerBenchmark,
  sync: Sync,
  scale: number,
  dir: string,
  leftovers: Leftovers,
): Promise<Figures> {
  // The last of two settings in a server's configuration counts; two minutes is the server's own default.
  const extra = sync === 'always' ? {} : { extraConf: 'jetstream { sync_interval: "2m" }' };
  const nats = await startNats({ dir, ...extra });
  leftovers.add(() => nats.stop());
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
}

async function freeRound(
  benchmark: FreeBenchmark,
  sync: Sync | undefined,
  options: RoundOptions,
  until: number,
  dir: string,
  leftovers: Leftovers,
): Promise<RoundResult> {
  const gaps: Gap[] = [];
  const systems = new Map<string, string>();
  const figures = await benchmark.round({
    ...{ scale: options.scale, quick: options.quick, sync, dir },
    secondsLeft: () => Math.max(0, (until - performance.now()) / 1_000),
    progress: (text) => options.progress(text),
    missing: (gap) => void gaps.push(gap),
    describe: (system, text) => void systems.set(system, text),
    onAbort: (stop) => void leftovers.add(stop),
  });
  return { figures, gaps, systems };
}
