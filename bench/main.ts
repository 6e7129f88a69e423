/**
 * `make bench`: what Millrace costs and gives, each figure beside something run in the same minute on the same machine.
 * Figures belong to the machine and its load, ratios travel better. `--help` says what can be asked for.
 */
import { machineText, readMachine } from './machine.ts';
import { HELP, listOf, parseCommand, type Wanted } from './options.ts';
import { BENCHMARKS } from './registry.ts';
import { figuresTable, targetsLine } from './report.ts';
import { catchStrays, stopLeftovers } from './runner.ts';
import { entriesOfSeries, isWhole, nameOf, REAL, runSession, sectionOf, summaryOf } from './session.ts';
import { keep, RESULTS, writeReadme } from './store.ts';

async function run(wanted: Wanted): Promise<number> {
  const { quick, json, write, results } = wanted;
  const machine = await readMachine();
  const all = await runSession(wanted, {
    ...REAL,
    kept: (series) => {
      if (!write) return;
      const entries = entriesOfSeries(series, quick);
      keep(results, machine, { name: nameOf(series), date: series.date, section: sectionOf(series, quick), entries });
    },
  });
  const entries = all.flatMap((series) => entriesOfSeries(series, quick));
  if (json) {
    const series = all.map((one) => ({
      ...{ benchmark: one.benchmark.name, sync: one.sync ?? null, failure: one.failure ?? null, date: one.date },
      ...{ systems: Object.fromEntries(one.systems), loads: one.loads, summary: summaryOf(one), rounds: one.rounds },
    }));
    process.stdout.write(`${JSON.stringify({ machine, quick, entries, series })}\n`);
  } else {
    const sections = all.map((series) => sectionOf(series, quick));
    const figures = entries.length === 0 ? [] : [figuresTable(entries), `${targetsLine(entries)}.`];
    process.stdout.write(`${[machineText(machine), ...sections, ...figures].join('\n\n')}\n`);
  }
  if (write) {
    if (results === RESULTS) writeReadme(); // its tables must not tell of other figures than the file
    process.stderr.write(`written to ${results}\n`);
  }
  return isWhole(all) ? 0 : 1;
}

async function main(): Promise<number> {
  const command = parseCommand(process.argv.slice(2), BENCHMARKS, RESULTS);
  switch (command.do) {
    case 'wrong':
      process.stderr.write(`${command.sentence}\n\n${HELP}`);
      return 2;
    case 'help':
      process.stdout.write(HELP);
      return 0;
    case 'list':
      process.stdout.write(listOf(BENCHMARKS));
      return 0;
    case 'readme':
      writeReadme();
      return 0;
    case 'run': {
      // `on`, not `once`: a signal to the whole group may come twice, and the second must not cut the cleaning short.
      for (const signal of ['SIGINT', 'SIGTERM'] as const) {
        process.on(signal, () => void stopLeftovers().finally(() => process.exit(130)));
      }
      catchStrays((error) => process.stderr.write(`an error after a round: ${String(error)}\n`));
      return run(command.wanted);
    }
  }
}

// A peer's client that keeps a timer or a socket must not keep the program.
process.exit(await main());
