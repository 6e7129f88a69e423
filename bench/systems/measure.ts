/**
 * The workloads, the same for every system. Each warms up first, and what it counts begins when it is warm.
 *
 * 1. A saturated load never pauses between warm-up and measurement: what is counted ends within a window of full load, which goes on
 *    until as many runs have ended as are under way (at most ten times as long): else only the first of a wave might be seen.
 * 2. The open loop starts runs by its schedule whatever the system does, and counts a run's time from when it was meant to start:
 *    a system that stalls is charged for everybody who would have waited.
 * 3. A run that gives the wrong result, or fails, fails the measurement.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { percentile } from '../summary.ts';
import { type Arrivals, randomOf, schedule } from './arrivals.ts';
import { cpuTimes, memoryMb, type Split } from './proc.ts';
import type { System } from './system.ts';

export interface Latencies {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** What a workload took of the machine. */
export interface Cost {
  readonly runs: number;
  /** Processor time per run, in milliseconds. */
  readonly cpuMsPerRun: Split;
  /** Resident at the end of the measurement, in MB, shared pages counted once. */
  readonly rssMb: Split;
  /** Of the host's event loop, in milliseconds beyond the sampling interval. */
  readonly loopDelayP99Ms: number;
}

export type LoadResult = Latencies & Cost & { readonly perSecond: number };
export type AloneResult = Latencies & Cost;
export type OpenLoopResult = Latencies &
  Cost & {
    /** As the schedule had them, and as they ended. */
    readonly offeredPerSecond: number;
    readonly perSecond: number;
    /** How late the host itself started runs, the event loop being busy: part of the latencies. */
    readonly lateP99Ms: number;
    readonly seed: number;
  };

export interface Workload {
  readonly steps: number;
  /** Of the payload, in bytes; 128 unless told. */
  readonly payloadBytes?: number;
}

export interface SaturatedOptions extends Workload {
  /** Runs under way at any time. */
  readonly atOnce: number;
  /** Of the measurement, at least; the warm-up comes before it. */
  readonly seconds: number;
  readonly warmSeconds?: number;
}

export interface AloneOptions extends Workload {
  readonly count: number;
  readonly warmCount?: number;
}

export interface OpenLoopOptions extends Workload {
  readonly perSecond: number;
  readonly seconds: number;
  /** Arrivals of so many seconds before are run and not counted. */
  readonly warmSeconds?: number;
  /** Poisson unless told. */
  readonly arrivals?: Arrivals;
  readonly seed?: number;
}

export interface FanOutOptions {
  readonly width: number;
  readonly count: number;
}

export interface SleepOptions {
  readonly ms: number;
  /** Sleepers, all started within the first `spreadMs`. */
  readonly count: number;
  readonly spreadMs?: number;
}

export interface SignalOptions {
  readonly count: number;
}

const PAYLOAD_BYTES = 128;
const SAMPLE_MS = 10;
const MOST_WINDOWS = 10;
/** So that functions that wait for a signal have come to rest before the first is sent. */
const SETTLE_MS = 300;

export function latencies(values: readonly number[]): Latencies {
  if (values.length === 0) throw new Error('nothing was measured: give it more time');
  return { p50Ms: percentile(values, 50), p99Ms: percentile(values, 99), maxMs: percentile(values, 100) };
}

const now = (): number => performance.now();
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The same for all, and no gift to those that compress: six bits of chance in every byte. */
export function payloadOf({ payloadBytes = PAYLOAD_BYTES }: Workload): string {
  const random = randomOf(1);
  return Array.from({ length: payloadBytes }, () => LETTERS[Math.floor(random() * LETTERS.length)]).join('');
}

async function runOnce(system: System, steps: number, payload: string): Promise<void> {
  const gave = await system.run(steps, payload);
  if (gave !== steps) throw new Error(`${system.name}: a run of ${steps} steps gave ${gave}`);
}

/** Counts from now; the function it gives ends the count. */
function costs(system: System): (runs: number) => Cost {
  const loop = monitorEventLoopDelay({ resolution: SAMPLE_MS });
  loop.enable();
  const before = cpuTimes(system.serverPids);
  return (runs) => {
    const after = cpuTimes(system.serverPids);
    loop.disable();
    const p99 = loop.percentile(99) / 1e6;
    return {
      runs,
      cpuMsPerRun: { host: (after.host - before.host) / runs, servers: (after.servers - before.servers) / runs },
      rssMb: memoryMb(system.serverPids),
      loopDelayP99Ms: Math.max(0, p99 - SAMPLE_MS),
    };
  };
}

/** `atOnce` runs under way all the time; counts those that end within `seconds` (invariant 1). */
export async function saturated(system: System, options: SaturatedOptions): Promise<LoadResult> {
  const { steps, atOnce, seconds, warmSeconds = 1 } = options;
  const payload = payloadOf(options);
  const took: number[] = [];
  let phase: 'warm' | 'counted' | 'over' = 'warm';
  const lane = async (): Promise<void> => {
    while (phase !== 'over') {
      const begun = now();
      await runOnce(system, steps, payload);
      if (phase === 'counted') took.push(now() - begun);
    }
  };
  const lanes = Promise.all(Array.from({ length: atOnce }, lane)).catch((error: unknown) => {
    phase = 'over';
    throw error;
  });
  await Promise.race([pause(warmSeconds * 1_000), lanes]);
  const end = costs(system);
  const begun = now();
  phase = 'counted';
  for (let windows = 0; windows === 0 || (windows < MOST_WINDOWS && took.length < atOnce); windows++) {
    await Promise.race([pause(seconds * 1_000), lanes]);
  }
  phase = 'over';
  const counted = now() - begun;
  const cost = end(took.length);
  await lanes;
  return { perSecond: took.length / (counted / 1_000), ...latencies(took), ...cost };
}

async function oneByOne(
  system: System,
  count: number,
  warmCount: number,
  one: () => Promise<number>,
): Promise<AloneResult> {
  for (let i = 0; i < warmCount; i++) await one();
  const end = costs(system);
  const took: number[] = [];
  for (let i = 0; i < count; i++) took.push(await one());
  return { ...latencies(took), ...end(count) };
}

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const begun = now();
  await work();
  return now() - begun;
}

/** One run after another. */
export function alone(system: System, options: AloneOptions): Promise<AloneResult> {
  const { steps, count, warmCount = Math.ceil(count / 5) } = options;
  const payload = payloadOf(options);
  return oneByOne(system, count, warmCount, () => timeOf(() => runOnce(system, steps, payload)));
}

/** Runs at a given rate, whatever becomes of them. */
export async function openLoop(system: System, options: OpenLoopOptions): Promise<OpenLoopResult> {
  const { steps, perSecond, seconds, warmSeconds = 1, arrivals = 'poisson', seed = 1 } = options;
  const payload = payloadOf(options);
  const warmMs = warmSeconds * 1_000;
  const times = schedule(arrivals, perSecond, warmSeconds + seconds, seed);
  const [took, late]: [number[], number[]] = [[], []];
  const underWay = new Set<Promise<void>>();
  let failed: { readonly error: unknown } | undefined;
  let end: ReturnType<typeof costs> | undefined;
  const begun = now();
  const start = (at: number): void => {
    const counted = at >= warmMs;
    if (counted) {
      end ??= costs(system);
      late.push(now() - begun - at);
    }
    const run = runOnce(system, steps, payload).then(
      () => {
        if (counted) took.push(now() - begun - at);
      },
      (error: unknown) => {
        failed ??= { error };
      },
    );
    const tracked: Promise<void> = run.finally(() => underWay.delete(tracked));
    underWay.add(tracked);
  };
  for (const at of times) {
    const wait = at - (now() - begun);
    if (wait > 0) await pause(wait);
    if (failed !== undefined) break;
    start(at);
  }
  await Promise.all(underWay);
  if (failed !== undefined) throw failed.error;
  const whole = (now() - begun - warmMs) / 1_000;
  if (end === undefined) throw new Error('no run was due in the time to measure: give it more time');
  return {
    offeredPerSecond: took.length / seconds,
    perSecond: took.length / Math.max(whole, seconds),
    ...latencies(took),
    lateP99Ms: percentile(late, 99),
    seed,
    ...end(took.length),
  };
}

function lacks(system: System, what: string): Error {
  return new Error(`${system.name} has no ${what}`);
}

/** Functions that do `width` steps at once, one function after another. */
export async function fanOut(system: System, { width, count }: FanOutOptions): Promise<AloneResult> {
  if (system.fanOut === undefined) throw lacks(system, 'fan-out');
  return oneByOne(system, count, 1, () =>
    timeOf(async () => {
      const gave = await system.fanOut?.(width);
      if (gave !== width) throw new Error(`${system.name}: a fan-out of ${width} gave ${gave}`);
    }),
  );
}

/** How late durable sleeps end, in milliseconds; the start of the function and the way of its result count in. */
export async function sleep(system: System, options: SleepOptions): Promise<AloneResult> {
  const { ms, count, spreadMs = 1_000 } = options;
  if (system.sleep === undefined) throw lacks(system, 'timers');
  await system.sleep(1);
  const end = costs(system);
  const one = async (i: number): Promise<number> => {
    await pause((i * spreadMs) / count);
    return (await timeOf(async () => system.sleep?.(ms))) - ms;
  };
  const late = await Promise.all(Array.from({ length: count }, (_, i) => one(i)));
  return { ...latencies(late), ...end(count) };
}

/** From a signal that is sent to the result of the function that waited for it, one after another. */
export async function signal(system: System, { count }: SignalOptions): Promise<AloneResult> {
  if (system.waiting === undefined) throw lacks(system, 'signals');
  const warm = Math.ceil(count / 5);
  const waiting: { send(): Promise<void> }[] = [];
  for (let i = 0; i < warm + count; i++) waiting.push(await system.waiting());
  await pause(SETTLE_MS);
  return oneByOne(system, count, warm, () => timeOf(async () => waiting.pop()?.send()));
}
