/** What a benchmark is, and the two ways all of them measure: many in flight, and two things in turn. */
import type { NatsDoor } from '../src/drivers/index.ts';
import type { Figures, Row } from './summary.ts';

export interface Benchmark {
  readonly name: string;
  /** What is measured, and beside what. */
  readonly what: string;
  readonly rows: readonly Row[];
}

/** One that needs nothing but the processor. */
export interface PureBenchmark extends Benchmark {
  readonly pure: true;
  /** @param scale share of the full amount of work, above 0 and at most 1 */
  round(scale: number): Promise<Figures>;
}

/** One that runs on a nats-server of its own, new in every round. */
export interface ServerBenchmark extends Benchmark {
  readonly pure: false;
  round(door: NatsDoor, scale: number): Promise<Figures>;
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
