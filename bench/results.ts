/**
 * What is kept of a benchmark: entries of latest.json, and how those of separate invocations become one file. Pure.
 *
 * 1. A series (a benchmark under one sync setting) replaces its own entries as a whole and touches no others: each entry keeps
 *    the date, the load and the rounds it was measured with.
 * 2. A gap is an entry without numbers: it never counts as met.
 */
import { z } from 'zod';
import type { Figure, Gap, Sync } from './benchmark.ts';
import { formatTarget, judge, TARGETS, targetOf } from './targets.ts';

const SPREAD = z.object({ min: z.number(), median: z.number(), max: z.number() });

const ENTRY = z.object({
  figure: z.string(),
  /** null: it could not be measured, and `note` says why. */
  value: z.number().nullable(),
  unit: z.string(),
  against: z.string(),
  /** How many times better than `against`, whatever the unit. */
  ratio: z.number().nullable(),
  target: z.string().nullable(),
  met: z.boolean().nullable(),
  note: z.string().optional(),
  /** Of the ratio, over the rounds. */
  spread: SPREAD.optional(),
  benchmark: z.string(),
  sync: z.enum(['lazy', 'always']).nullable(),
  /** When its last round ended, UTC, to the minute. */
  date: z.string(),
  rounds: z.int(),
  /** One-minute load average before its rounds, the largest. */
  load: z.number(),
  /** A tenth of the work: to see that it works, not to quote. */
  quick: z.literal(true).optional(),
});

export type Entry = z.infer<typeof ENTRY>;

/** Of a series: what all its entries share. */
export interface Circumstances {
  readonly benchmark: string;
  readonly sync: Sync | undefined;
  readonly date: string;
  readonly rounds: number;
  readonly load: number;
  readonly quick: boolean;
}

const SIGNIFICANT = 4;

/** Enough digits to judge by; more would pretend. */
export function rounded(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  return Math.abs(value) >= 10 ** SIGNIFICANT ? Math.round(value) : Number(value.toPrecision(SIGNIFICANT));
}

/**
 * The entries of one series.
 * @throws when two figures of it share figure and against, a number is not finite, or a unit is not its target's
 */
export function entriesOf(figures: readonly Figure[], gaps: readonly Gap[], of: Circumstances): readonly Entry[] {
  const shared = {
    benchmark: of.benchmark,
    sync: of.sync ?? null,
    date: of.date,
    rounds: of.rounds,
    load: rounded(of.load),
    ...(of.quick ? { quick: true as const } : {}),
  };
  const measured = figures.map((figure): Entry => {
    const { value, ratio, spread, note, unit, against } = figure;
    if (!Number.isFinite(value) || !Number.isFinite(ratio)) {
      throw new Error(`${keyOf(figure)} has no number: value ${value}, ratio ${ratio}`);
    }
    const kept = { figure: figure.figure, value: rounded(value), unit, against, ratio: rounded(ratio) };
    return {
      ...kept,
      ...judge(kept), // on what is kept, so that whoever reads the file comes to the same
      ...(note === undefined ? {} : { note }),
      ...(spread === undefined
        ? {}
        : { spread: { min: rounded(spread.min), median: rounded(spread.median), max: rounded(spread.max) } }),
      ...shared,
    };
  });
  const keys = measured.map(keyOf);
  const twice = keys.find((key, i) => keys.indexOf(key) !== i);
  if (twice !== undefined) throw new Error(`${twice} is handed over twice`);
  const missing = uniqueGaps(gaps).filter((gap) => !keys.includes(keyOf(gap)));
  const ours = new Set(figures.map(({ figure }) => figure));
  return [...measured, ...missing.map((gap): Entry => ({ ...gapEntry(gap, ours), ...shared }))];
}

/** @param measured figures that were measured against something else */
function gapEntry(
  { figure, against, sentence }: Gap,
  measured: ReadonlySet<string>,
): Omit<Entry, 'benchmark' | 'sync' | 'date' | 'rounds' | 'load'> {
  const found = targetOf(figure, against);
  // Where our own value is judged, a peer that is missing beside it says nothing of the target.
  const target = found?.on === 'value' && measured.has(figure) ? undefined : found;
  return {
    ...{ figure, value: null, unit: '', against, ratio: null, note: sentence },
    target: target === undefined ? null : formatTarget(target),
    met: target === undefined ? null : false,
  };
}

function uniqueGaps(gaps: readonly Gap[]): readonly Gap[] {
  return [...new Map(gaps.map((gap) => [keyOf(gap), gap])).values()];
}

/** What names an entry. */
export function keyOf({ figure, against }: { readonly figure: string; readonly against: string }): string {
  return `${figure} against ${against}`;
}

/** The kept entries with those of a series put in the place of its earlier ones, in the order of targets, then of names. */
export function mergeEntries(kept: readonly Entry[], series: readonly Entry[]): readonly Entry[] {
  const seriesOf = ({ benchmark, sync }: Entry): string => `${benchmark} ${sync}`;
  const replaced = new Set(series.map(seriesOf));
  const keys = new Set(series.map(keyOf));
  // A figure that moved to another benchmark would stand there twice.
  const others = kept.filter((entry) => !replaced.has(seriesOf(entry)) && !keys.has(keyOf(entry)));
  return [...others, ...series].sort((a, b) => rank(a) - rank(b) || compare(keyOf(a), keyOf(b)));
}

function rank({ figure, against }: Entry): number {
  const target = targetOf(figure, against);
  return target === undefined ? TARGETS.length : TARGETS.indexOf(target);
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** @throws when the text is not an array of entries */
export function parseEntries(text: string): readonly Entry[] {
  return z.array(ENTRY).parse(JSON.parse(text));
}

/** One entry a line: a change of one figure is one line of a diff. */
export function printEntries(entries: readonly Entry[]): string {
  return entries.length === 0 ? '[]\n' : `[\n${entries.map((entry) => `  ${JSON.stringify(entry)}`).join(',\n')}\n]\n`;
}

const BEGIN = (name: string): string => `<!-- series ${name} -->`;
const END = '<!-- end -->';

/** A day's page: a head that is written anew each time, and one section per series, in the order they first came. */
export function mergePage(kept: string, head: string, name: string, section: string): string {
  const sections = new Map<string, string>();
  for (const [, of, text] of kept.matchAll(/<!-- series (.+?) -->\n([\s\S]*?)\n<!-- end -->/g)) {
    if (of !== undefined && text !== undefined) sections.set(of, text);
  }
  sections.set(name, section);
  const parts = [...sections].map(([of, text]) => `${BEGIN(of)}\n${text.trim()}\n${END}`);
  return `${[head.trim(), ...parts].join('\n\n')}\n`;
}
