/**
 * One invocation: all series in rounds, the rounds outermost, so that what else the machine does falls on all of them.
 *
 * 1. A series that fails is not tried again; what its earlier rounds measured stays, and the sentence stands beside it.
 * 2. Results are written after every round, so that an invocation that ends early has lost nothing of what was measured.
 */
import { loadavg } from 'node:os';
import type { Gap } from './benchmark.ts';
import type { SeriesSpec, Wanted } from './options.ts';
import { type Entry, entriesOf } from './results.ts';
import { type RoundOptions, type RoundResult, runRound } from './runner.ts';
import { sentenceOf } from './sentence.ts';
import { type Figures, formatSummary, type Spread, spread, summarize } from './summary.ts';

export interface Series extends SeriesSpec {
  readonly rounds: Figures[];
  readonly gaps: Gap[];
  readonly systems: Map<string, string>;
  readonly loads: number[];
  /** When its last round ended, as ISO text to the minute. */
  date: string;
  /** Why it failed, if it did. */
  failure?: string;
}

const QUICK_SCALE = 0.1;
const QUICK_SECONDS = 285;

export interface SessionPorts {
  readonly say: (text: string) => void;
  readonly runRound: (series: SeriesSpec, options: RoundOptions) => Promise<RoundResult>;
  readonly now: () => Date;
  readonly load: () => number;
  /** Called after every round that gave something. */
  readonly kept: (series: Series) => void;
}

export const REAL: Omit<SessionPorts, 'kept'> = {
  say: (text) => void process.stderr.write(text),
  runRound,
  now: () => new Date(),
  load: () => loadavg()[0] ?? 0,
};

export const nameOf = ({ benchmark, sync }: SeriesSpec): string =>
  sync === undefined ? benchmark.name : `${benchmark.name} ${sync}`;

export async function runSession(wanted: Wanted, ports: SessionPorts): Promise<readonly Series[]> {
  const all = wanted.series.map(
    (spec): Series => ({ ...spec, rounds: [], gaps: [], systems: new Map(), loads: [], date: '' }),
  );
  for (const sentence of wanted.leftOut) ports.say(`${sentence}\n`);
  const begun = ports.now().getTime();
  for (let n = 1; n <= wanted.rounds; n++) {
    for (const series of all) {
      if (series.failure !== undefined || n > (series.benchmark.maxRounds ?? wanted.rounds)) continue;
      const elapsed = (ports.now().getTime() - begun) / 1_000;
      if (wanted.quick && elapsed >= QUICK_SECONDS) {
        series.failure = 'not run: the five minutes of a quick run were over';
        continue;
      }
      await oneRound(series, n, wanted, ports, wanted.quick ? QUICK_SECONDS - elapsed : undefined);
    }
  }
  return all;
}

async function oneRound(
  series: Series,
  n: number,
  wanted: Wanted,
  ports: SessionPorts,
  secondsLeft: number | undefined,
): Promise<void> {
  const load = ports.load();
  const begun = ports.now();
  const title = `round ${n} of ${Math.min(wanted.rounds, series.benchmark.maxRounds ?? wanted.rounds)}: ${nameOf(series)}`;
  ports.say(`${title}, load ${load.toFixed(1)}\n`);
  try {
    const result = await ports.runRound(series, {
      ...{ scale: wanted.quick ? QUICK_SCALE : 1, quick: wanted.quick },
      ...(secondsLeft === undefined ? {} : { secondsLeft }),
      progress: (text) => ports.say(`  ${nameOf(series)}: ${text}\n`),
    });
    series.rounds.push(result.figures);
    series.gaps.push(...result.gaps);
    for (const [system, text] of result.systems) series.systems.set(system, text);
    series.loads.push(load);
    series.date = minute(ports.now());
    entriesOfSeries(series, wanted.quick); // a figure that contradicts itself fails here, where the sentence has a place
    ports.kept(series);
    ports.say(`  ${((ports.now().getTime() - begun.getTime()) / 1_000).toFixed(1)} s\n`);
  } catch (error) {
    series.failure = sentenceOf(error);
    // All of it, for whoever looks into it; the tables have room for a sentence.
    ports.say(`  failed: ${error instanceof Error ? error.message : String(error)}\n`);
  }
}

const minute = (date: Date): string => `${date.toISOString().slice(0, 16)}Z`;

export function entriesOfSeries(series: Series, quick: boolean): readonly Entry[] {
  const { benchmark, sync, rounds, gaps, date, loads } = series;
  if (rounds.length === 0) return [];
  const figures = benchmark.figures?.(rounds, sync) ?? [];
  const load = Math.max(0, ...loads);
  return entriesOf(figures, gaps, { benchmark: benchmark.name, sync, date, rounds: rounds.length, load, quick });
}

/** False when anything that was asked for was not measured. */
export function isWhole(all: readonly Series[]): boolean {
  return all.every(({ failure, gaps }) => failure === undefined && gaps.length === 0);
}

/** What cannot be read off the numbers: how the systems are set, and what is missing. */
function remarksOf({ systems, gaps, failure, rounds }: Series): readonly string[] {
  const settings = [...systems].map(([system, text]) => `- ${system}: ${text}`);
  const missing = [...new Set(gaps.map(({ against, sentence }) => `- not measured: ${against}: ${sentence}`))];
  const failed =
    failure === undefined ? [] : [`- ${rounds.length === 0 ? 'not measured' : 'a later round failed'}: ${failure}`];
  return [...settings, ...missing, ...failed];
}

export function summaryOf({ benchmark, rounds }: Series): Readonly<Record<string, Spread>> {
  const measured = benchmark.rows.filter(({ key }) => rounds.some((figures) => key in figures));
  return summarize(measured, rounds);
}

/** The section of a series on the day's page, and its part of what a run prints. */
export function sectionOf(series: Series, quick: boolean): string {
  const { benchmark, sync, rounds, loads, date } = series;
  const title = `### ${benchmark.name}: ${benchmark.what}${sync === undefined ? '' : `; sync ${sync}`}`;
  const remarks = remarksOf(series).join('\n');
  if (rounds.length === 0) return [title, remarks].join('\n\n');
  const { min, max } = spread(loads);
  const count = `${rounds.length} round${rounds.length === 1 ? '' : 's'}${quick ? ', quick: not to be quoted' : ''}`;
  const how = `${count}, the last over at ${date}; load before: ${min.toFixed(1)} to ${max.toFixed(1)}`;
  const body = formatSummary(how, benchmark.rows, summaryOf(series)).trim().replace('\n', '\n\n');
  return [title, body, ...(remarks === '' ? [] : [remarks])].join('\n\n');
}
