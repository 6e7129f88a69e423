/** When a ratio is too low: what the regression guard decides. Pure. */
import { z } from 'zod';
import type { SeriesSpec } from './options.ts';
import type { Figures } from './summary.ts';

export interface GuardRow {
  readonly name: string;
  /** What stands beside what. */
  readonly what: string;
  readonly series: SeriesSpec;
  /** Share of the benchmark's full work. */
  readonly scale: number;
  /** How many times better; NaN when the round did not measure it. */
  readonly ratio: (figures: Figures) => number;
  /** Below this share of the committed ratio it fails. */
  readonly share: number;
}

const COMMITTED = z.object({
  ratio: z.number().positive(),
  share: z.number().positive().max(1),
  date: z.string(),
});
export type Committed = z.infer<typeof COMMITTED>;

/** @throws when the text is not a map of rows */
export function parseCommitted(text: string): Readonly<Record<string, Committed>> {
  return z.record(z.string(), COMMITTED).parse(JSON.parse(text));
}

export function printCommitted(rows: Readonly<Record<string, Committed>>): string {
  const lines = Object.entries(rows).map(([name, row]) => `  ${JSON.stringify(name)}: ${JSON.stringify(row)}`);
  return `{\n${lines.join(',\n')}\n}\n`;
}

export interface Verdict {
  readonly passed: boolean;
  readonly sentence: string;
}

/** @param ratios of all tries: the best counts, since what disturbs a measurement rarely helps it */
export function judgeRow(row: GuardRow, committed: Committed | undefined, ratios: readonly number[]): Verdict {
  const best = Math.max(...ratios.filter((ratio) => Number.isFinite(ratio)), Number.NEGATIVE_INFINITY);
  const further = `node --import tsx bench/main.ts ${command(row)}`;
  if (best === Number.NEGATIVE_INFINITY) {
    return { passed: false, sentence: `${row.name} gave no ratio (${row.what}). See what it measures: ${further}` };
  }
  if (committed === undefined) {
    return {
      passed: false,
      sentence: `${row.name} is ${best.toFixed(2)} and has no committed ratio. Write one: node --import tsx bench/guard.ts ${row.name} --write`,
    };
  }
  const floor = committed.ratio * committed.share;
  const measured = `${row.name} is ${best.toFixed(2)}, its floor ${floor.toFixed(2)}`;
  if (best >= floor) return { passed: true, sentence: `${measured} (${row.what})` };
  return {
    passed: false,
    sentence:
      `${measured}: ${committed.share} of ${committed.ratio}, measured on ${committed.date} (${row.what}). All tries: ` +
      `${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}. Look further with "${further}" and --cpu-prof; if the change is meant, ` +
      `commit new ratios with "node --import tsx bench/guard.ts ${row.name} --write".`,
  };
}

function command({ series: { benchmark, sync } }: GuardRow): string {
  return sync === undefined ? benchmark.name : `${benchmark.name} --sync ${sync}`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
}
