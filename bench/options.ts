/** The command line of the benchmarks: what was asked for, or the sentence that says what is wrong with it. Pure. */
import { parseArgs } from 'node:util';
import type { AnyBenchmark, Sync } from './benchmark.ts';

export const SYNCS: readonly Sync[] = ['always', 'lazy'];

/** A benchmark under one sync setting. */
export interface SeriesSpec {
  readonly benchmark: AnyBenchmark;
  /** undefined: no setting is its to choose. */
  readonly sync: Sync | undefined;
}

export interface Wanted {
  readonly series: readonly SeriesSpec[];
  /** Benchmarks that were not named and are left out, each with the reason. */
  readonly leftOut: readonly string[];
  readonly rounds: number;
  readonly quick: boolean;
  readonly json: boolean;
  readonly write: boolean;
  /** Folder for what is written. */
  readonly results: string;
}

export type Command =
  | { readonly do: 'run'; readonly wanted: Wanted }
  | { readonly do: 'help' | 'list' | 'readme' }
  | { readonly do: 'wrong'; readonly sentence: string };

export const ROUNDS = 3;
const OPTIONS = {
  quick: { type: 'boolean', default: false },
  full: { type: 'boolean', default: false },
  write: { type: 'boolean' },
  'no-write': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  rounds: { type: 'string' },
  sync: { type: 'string' },
  results: { type: 'string' },
  list: { type: 'boolean', default: false },
  readme: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

export const HELP = `usage: node --import tsx bench/main.ts [name…] [options]

Runs the named benchmarks, or all but the long ones, prints their tables, and writes bench/results/<date>.md and
bench/results/latest.json. A benchmark that fails is said so in the tables and the others go on.

  --list       the benchmarks there are, and exit
  --full       the long ones as well (a million sleeping runs, the soak of 30 minutes)
  --quick      a tenth of the work in one round, five minutes at most: to see that it works, not to quote; writes nothing
  --write      writes the results of a quick run too (its entries are marked)
  --no-write   prints only
  --rounds N   rounds (default ${ROUNDS}, with --quick 1); each has new servers
  --sync S     one setting only: always (fsynced before it is acknowledged, our default) or lazy (the server's own)
  --json       every round and every figure as one JSON document on stdout, instead of tables
  --results D  the folder to write to
  --readme     only writes README.md's tables anew from latest.json
  --help       this text

Progress goes to stderr. Exit codes: 0 all was measured (whether or not targets are met), 1 something was not, 2 wrong usage, 130
interrupted.
`;

export function listOf(benchmarks: readonly AnyBenchmark[]): string {
  const width = Math.max(...benchmarks.map(({ name }) => name.length));
  const lines = benchmarks.map(
    ({ name, what, long }) => `  ${name.padEnd(width)}  ${what}${long === true ? ' (long: named or --full)' : ''}`,
  );
  return `${lines.join('\n')}\n`;
}

/** @param results the folder unless one is named */
export function parseCommand(args: readonly string[], benchmarks: readonly AnyBenchmark[], results: string): Command {
  const wrong = (sentence: string): Command => ({ do: 'wrong', sentence });
  let parsed: ReturnType<typeof read>;
  try {
    parsed = read(args);
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error)); // an option there is not
  }
  const { values, positionals } = parsed;
  for (const which of ['help', 'list', 'readme'] as const) if (values[which]) return { do: which };
  const names = benchmarks.map(({ name }) => name);
  const unknown = positionals.find((name) => !names.includes(name));
  if (unknown !== undefined) return wrong(`there is no benchmark "${unknown}"; there are ${names.join(', ')}`);
  const rounds = Number(values.rounds ?? (values.quick ? 1 : ROUNDS));
  if (!Number.isInteger(rounds) || rounds < 1) {
    return wrong(`--rounds takes a whole number from 1, not "${values.rounds}"`);
  }
  const syncs = SYNCS.filter((sync) => values.sync === undefined || values.sync === sync);
  if (syncs.length === 0) return wrong(`--sync takes ${SYNCS.join(' or ')}, not "${values.sync}"`);
  if (values.write === true && values['no-write']) return wrong('--write and --no-write exclude each other');
  const write = values.write ?? !(values.quick || values['no-write']);
  const { chosen, leftOut } = choose(benchmarks, positionals, values);
  const series = chosen.flatMap((benchmark) => seriesOf(benchmark, syncs, values.quick && values.sync === undefined));
  if (series.length === 0) return wrong(`${positionals.join(', ')} is not measured with sync ${values.sync}`);
  return {
    do: 'run',
    wanted: {
      ...{ series, leftOut, rounds, quick: values.quick, json: values.json, write },
      results: values.results ?? results,
    },
  };
}

function read(args: readonly string[]) {
  return parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS });
}

function choose(
  benchmarks: readonly AnyBenchmark[],
  named: readonly string[],
  { full, quick }: { readonly full: boolean; readonly quick: boolean },
): { readonly chosen: readonly AnyBenchmark[]; readonly leftOut: readonly string[] } {
  const leftOut: string[] = [];
  const chosen = benchmarks.filter((benchmark) => {
    if (named.length > 0) return named.includes(benchmark.name);
    const reason =
      benchmark.long === true && !full
        ? 'it takes long; name it or say --full'
        : quick
          ? benchmark.notQuick
          : undefined;
    if (reason !== undefined) leftOut.push(`${benchmark.name} is left out: ${reason}`);
    return reason === undefined;
  });
  return { chosen, leftOut };
}

function seriesOf(benchmark: AnyBenchmark, syncs: readonly Sync[], quick: boolean): readonly SeriesSpec[] {
  const own = settingsOf(benchmark, quick);
  if (own === undefined || own.length === 0) return [{ benchmark, sync: undefined }];
  return syncs.filter((sync) => own.includes(sync)).map((sync) => ({ benchmark, sync }));
}

function settingsOf(benchmark: AnyBenchmark, quick: boolean): readonly Sync[] | undefined {
  if (benchmark.kind === 'pure') return undefined;
  if (benchmark.kind === 'server') return benchmark.syncs ?? SYNCS;
  return quick ? (benchmark.quickSyncs ?? benchmark.syncs) : benchmark.syncs;
}
