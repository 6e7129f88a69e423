/**
 * `make bench-guard`: a short set of ratios, each measured in turns against something run in the same seconds, compared with the ratios
 * that are committed. It knows no times: a slow machine slows both sides.
 *
 * 1. A row fails below its share of the committed ratio (half, unless the row says otherwise) in all of its tries.
 * 2. A row that gives no ratio fails: a guard that measures nothing guards nothing.
 * 3. The last line is `N passed, N failed`, one per row.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { lastLine } from '../ops/lib/report.ts';
import { type Committed, type GuardRow, judgeRow, median, parseCommitted, printCommitted } from './guard-rows.ts';
import { GUARDED } from './guarded.ts';
import { rounded } from './results.ts';
import { catchStrays, runRound, stopLeftovers } from './runner.ts';

const FILE = join(dirname(fileURLToPath(import.meta.url)), 'results', 'guard.json');
/** An unlucky second must not fail a build; a true loss fails every time. */
const TRIES = 3;
const WRITE_ROUNDS = 3;

const HELP = `usage: node --import tsx bench/guard.ts [row…] [--write] [--against FILE] [--tries N]

Measures the ratios of the guarded rows and fails when one is below its floor in bench/results/guard.json.

  --write         measures each ${WRITE_ROUNDS} times and writes the medians as the new ratios
  --against FILE  compares with another file
  --tries N       measures a row that is below its floor up to N times (default ${TRIES}); the best counts
  --help          this text

Rows: ${GUARDED.map(({ name }) => name).join(', ')}
`;

async function ratioOf(row: GuardRow): Promise<number> {
  const { figures } = await runRound(row.series, { scale: row.scale, quick: true, progress: () => undefined });
  return row.ratio(figures);
}

/** Measures until it is at its floor, or often enough. */
async function tryRow(row: GuardRow, committed: Committed | undefined, tries: number): Promise<readonly number[]> {
  const ratios: number[] = [];
  for (let n = 0; n < tries; n++) {
    ratios.push(await ratioOf(row));
    if (judgeRow(row, committed, ratios).passed) break;
  }
  return ratios;
}

async function check(rows: readonly GuardRow[], file: string, tries: number): Promise<number> {
  const committed = existsSync(file) ? parseCommitted(readFileSync(file, 'utf8')) : {};
  let failed = 0;
  for (const row of rows) {
    const begun = performance.now();
    let verdict: ReturnType<typeof judgeRow>;
    try {
      verdict = judgeRow(row, committed[row.name], await tryRow(row, committed[row.name], tries));
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      verdict = { passed: false, sentence: `${row.name} could not be measured: ${message}` };
    }
    if (!verdict.passed) failed++;
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1).padStart(5);
    console.log(`  ${verdict.passed ? '✓' : '✗'} ${seconds} s  ${verdict.sentence}`);
  }
  console.log(lastLine({ passed: rows.length - failed, failed, skipped: 0 }));
  return failed === 0 ? 0 : 1;
}

async function write(rows: readonly GuardRow[], file: string): Promise<number> {
  const committed: Record<string, Committed> = {
    ...(existsSync(file) ? parseCommitted(readFileSync(file, 'utf8')) : {}),
  };
  for (const row of rows) {
    const ratios: number[] = [];
    for (let n = 0; n < WRITE_ROUNDS; n++) ratios.push(await ratioOf(row));
    const share = committed[row.name]?.share ?? row.share;
    committed[row.name] = { ratio: rounded(median(ratios)), share, date: new Date().toISOString().slice(0, 10) };
    console.log(`  ${row.name}: ${ratios.map((ratio) => ratio.toFixed(3)).join(', ')}`);
  }
  writeFileSync(file, printCommitted(committed));
  return 0;
}

async function main(): Promise<number> {
  let parsed: ReturnType<typeof read>;
  try {
    parsed = read();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    return 2;
  }
  const { values, positionals } = parsed;
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const unknown = positionals.find((name) => !GUARDED.some((row) => row.name === name));
  if (unknown !== undefined) {
    process.stderr.write(`there is no guarded row "${unknown}"\n\n${HELP}`);
    return 2;
  }
  const tries = Number(values.tries);
  if (!Number.isInteger(tries) || tries < 1) {
    process.stderr.write(`--tries takes a whole number from 1, not "${values.tries}"\n\n${HELP}`);
    return 2;
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => void stopLeftovers().finally(() => process.exit(130)));
  }
  catchStrays((error) => process.stderr.write(`an error after a row: ${String(error)}\n`));
  const rows = GUARDED.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const file = values.against ?? FILE;
  return values.write ? write(rows, file) : check(rows, file, tries);
}

function read() {
  return parseArgs({
    allowPositionals: true,
    options: {
      write: { type: 'boolean', default: false },
      against: { type: 'string' },
      tries: { type: 'string', default: String(TRIES) },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}

process.exit(await main());
