/**
 * `make verify`: everything that needs nothing but Node, in under a minute: format and lint, types, arrows, and the
 * `verify` tests (unit, property, contract on memory, tidy). The light checks run beside the tests.
 */
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { addCounts, type Counts, lastLine, NO_COUNTS, strictCounts } from './lib/report.ts';
import { bin, type Ran, run, runProject } from './lib/run.ts';

/** What TypeScript found before is kept beside the packages, by the hash of each file: the second check takes a third of the first. */
const tsc = (project: string, name: string): readonly string[] => {
  const kept = `node_modules/.cache/millrace/${name}.tsbuildinfo`;
  return ['-p', project, '--noEmit', '--incremental', '--tsBuildInfoFile', kept];
};

/** The peers of the benchmarks have packages of their own: their types can be checked where these are installed. */
const PEERS = 'bench/peers';
const peerTypes = existsSync(`${PEERS}/node_modules/.package-lock.json`)
  ? [{ name: 'types of peers', command: bin('tsc'), args: tsc(PEERS, 'peers') }]
  : [];

const CHECKS = [
  { name: 'format and lint', command: bin('biome'), args: ['check', '.'] },
  { name: 'arrows', command: bin('depcruise'), args: ['src', '--config', '.dependency-cruiser.cjs'] },
  { name: 'types', command: bin('tsc'), args: tsc('tsconfig.json', 'types') },
  ...peerTypes,
] as const;

function say(name: string, ran: Ran, counts?: Counts): void {
  const sign = ran.code === 0 ? '✓' : '✗';
  const detail =
    counts === undefined ? '' : `  ${lastLine(counts)}${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}`;
  console.log(`  ${sign} ${name.padEnd(16)} ${(ran.ms / 1_000).toFixed(1).padStart(5)} s${detail}`);
  if (ran.code !== 0) console.log(ran.output.trimEnd());
}

async function checks(): Promise<Counts> {
  let counts = NO_COUNTS;
  for (const { name, command, args } of CHECKS) {
    const ran = await run(command, args, false);
    say(name, ran);
    counts = addCounts(counts, { passed: ran.code === 0 ? 1 : 0, failed: ran.code === 0 ? 0 : 1, skipped: 0 });
  }
  return counts;
}

async function tests(): Promise<Counts> {
  const ran = await runProject('verify', false);
  const counts = strictCounts(ran.counts);
  say('tests', counts.failed > 0 && ran.code === 0 ? { ...ran, code: 1 } : ran, counts);
  return counts;
}

/** Runs all of it; each check counts as one test. */
export async function verify(): Promise<Counts> {
  const [a, b] = await Promise.all([checks(), tests()]);
  return addCounts(a, b);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const started = Date.now();
  const counts = await verify();
  console.log(`verify took ${((Date.now() - started) / 1_000).toFixed(1)} s`);
  console.log(lastLine(counts));
  process.exitCode = counts.failed === 0 ? 0 : 1;
}
