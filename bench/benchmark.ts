/**
 * What a benchmark is, and the two ways all of them measure: many in flight, and two things in turn.
 *
 * There are three kinds. `pure` needs the processor alone; `server` gets a new nats-server and a door to it in every round, once
 * per sync setting; `free` brings its own servers (peers, Prefect, processes of our own).
 */
import type { NatsDoor } from '../src/drivers/index.ts';
import type { Probe } from './probe.ts';
import { type Figures, type Row, type Spread, spread } from './summary.ts';
import type { Sync } from './systems/system.ts';

export type { Sync } from './systems/system.ts';

/**
 * What goes to bench/results/latest.json. `figure` and `against` together name it; its target is looked up in bench/targets.ts
 * and whether it is met is computed there, never said here.
 */
export interface Figure {
  readonly figure: string;
  readonly value: number;
  readonly unit: string;
  /** What was run in the same minute beside it: `restate`, `js.publish, 1 in flight`, `tracing off`. */
  readonly against: string;
  /**
   * How many times better than `against`: above 1 Millrace does better, below 1 it does worse, whatever the unit. Rates: ours / theirs.
   * Times and memory: theirs / ours. So 0.97 with tracing on means 3 % fewer runs; 0.9 of memory means a ninth more of it.
   */
  readonly ratio: number;
  /** What a reader must know to judge it. */
  readonly note?: string;
  /** Of `ratio`, over the rounds. {@link figureOf} fills it. */
  readonly spread?: Spread;
}

/** Something that could not be measured, said in a plain sentence: it stands in the tables instead of a number. */
export interface Gap {
  readonly figure: string;
  readonly against: string;
  readonly sentence: string;
}

export interface Benchmark {
  readonly name: string;
  /** What is measured, and beside what. */
  readonly what: string;
  readonly rows: readonly Row[];
  /** What it hands over, from all rounds of one sync setting (undefined when it has none). */
  figures?(rounds: readonly Figures[], sync: Sync | undefined): readonly Figure[];
  /** Takes so long that it runs only when named, or with `--full`. */
  readonly long?: boolean;
  /** After so many seconds a round counts as hung and has failed; 600 unless said. */
  readonly limitSeconds?: number;
  /** The same with `--quick`. */
  readonly quickSeconds?: number;
  /** Most rounds that are worth their time; unless said as many as asked for. */
  readonly maxRounds?: number;
  /** Left out of `--quick`, with the reason. */
  readonly notQuick?: string;
}

/** One that needs nothing but the processor. */
export interface PureBenchmark extends Benchmark {
  readonly kind: 'pure';
  /** @param scale share of the full amount of work, above 0 and at most 1 */
  round(scale: number): Promise<Figures>;
}

/** One that runs on a nats-server of its own, new in every round. */
export interface ServerBenchmark extends Benchmark {
  readonly kind: 'server';
  /** The settings it is measured with; both unless said. */
  readonly syncs?: readonly Sync[];
  /** @param probe processor time and memory of this process and of the server */
  round(door: NatsDoor, scale: number, probe: Probe): Promise<Figures>;
}

/** One that brings its own servers. */
export interface FreeBenchmark extends Benchmark {
  readonly kind: 'free';
  /** One series per setting; a single one, without, unless said. */
  readonly syncs?: readonly Sync[];
  /** Those of a quick run that does not name one; all unless said. */
  readonly quickSyncs?: readonly Sync[];
  round(context: FreeContext): Promise<Figures>;
}

export interface FreeContext {
  /** Share of the full amount of work, above 0 and at most 1. */
  readonly scale: number;
  /** With `--quick`: one round, few seconds. */
  readonly quick: boolean;
  readonly sync: Sync | undefined;
  /** Until the round counts as hung: one with several parts begins none that it cannot end. */
  secondsLeft(): number;
  /** An empty folder, removed after the round. */
  readonly dir: string;
  /** One line of progress on stderr. */
  progress(text: string): void;
  /** Something of this round that cannot be had. The round goes on and leaves its keys out of its figures. */
  missing(gap: Gap): void;
  /** Version and settings of a system, as they are said beside its rows. */
  describe(system: string, text: string): void;
  /** Stops what must not stay behind when the program is interrupted or the round hangs. The last that was said runs first. */
  onAbort(stop: () => Promise<void>): void;
}

export type AnyBenchmark = PureBenchmark | ServerBenchmark | FreeBenchmark;

/** A figure as the medians of two rows; undefined when no round measured them. */
export function figureOf(
  rounds: readonly Figures[],
  rows: { readonly value: string; readonly ratio: string },
  rest: Omit<Figure, 'value' | 'ratio' | 'spread'>,
): Figure | undefined {
  const of = (key: string): number[] => rounds.flatMap((round) => round[key] ?? []);
  const [values, ratios] = [of(rows.value), of(rows.ratio)];
  if (values.length === 0 || ratios.length === 0) return undefined;
  const ratio = spread(ratios);
  return { ...rest, value: spread(values).median, ratio: ratio.median, spread: ratio };
}

/** {@link figureOf} several, without those that nothing measured. */
export function figuresOf(...found: readonly (Figure | undefined)[]): readonly Figure[] {
  return found.flatMap((figure) => figure ?? []);
}

/** `full` scaled down, but enough to mean something. */
export function amount(full: number, scale: number): number {
  return Math.max(20, Math.round(full * scale));
}

/** Does `one` for 0 to `count - 1` with `atOnce` under way; gives the seconds it took. */
export async function timed(count: number, atOnce: number, one: (i: number) => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane));
  return (performance.now() - begun) / 1_000;
}

/** Does `one`, which waits for nothing, so many times; gives the seconds it took. */
export async function secondsOf(times: number, one: () => void): Promise<number> {
  const begun = performance.now();
  for (let i = 0; i < times; i++) one();
  return (performance.now() - begun) / 1_000;
}

const TURNS = 3;

/**
 * Seconds that two things took, each the sum of three parts run in turn (a b, b a, a b), so that what else the machine
 * does in that time falls on both.
 */
export async function inTurn(
  a: (turn: number) => Promise<number>,
  b: (turn: number) => Promise<number>,
): Promise<readonly [number, number]> {
  let [secondsA, secondsB] = [0, 0];
  for (let turn = 0; turn < TURNS; turn++) {
    if (turn % 2 === 0) secondsA += await a(turn);
    secondsB += await b(turn);
    if (turn % 2 === 1) secondsA += await a(turn);
  }
  return [secondsA, secondsB];
}

/** How often {@link inTurn} does each. */
export const PARTS = TURNS;
