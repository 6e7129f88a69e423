/**
 * `make test`: everything, in order, from cheap to dear: verify → provision → integration → simulation → chaos → browser →
 * guard (ratios of benchmarks that must not fall).
 *
 * A later stage runs even when an earlier one failed (one run should tell everything), except that without provisioned
 * servers the stages that need them are counted as failed at once. The last line is exactly `N passed, N failed`.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { addCounts, type Counts, lastLine, NO_COUNTS, parseLastLine, strictCounts } from './lib/report.ts';
import { run, runProject } from './lib/run.ts';
import { verify } from './verify.ts';

interface Stage {
  readonly project: string;
  readonly servers: boolean;
  /** Chromium is the one part that may be missing: its tests may be skipped, and that is shown. */
  readonly maySkip?: boolean;
}

const STAGES: readonly Stage[] = [
  { project: 'integration', servers: true },
  { project: 'simulation', servers: false },
  { project: 'chaos', servers: true },
  { project: 'browser', servers: true, maySkip: true },
];

function heading(text: string): void {
  console.log(`\n── ${text} ${'─'.repeat(Math.max(0, 76 - text.length))}`);
}

function hasTests(folder: string): boolean {
  if (!existsSync(folder)) return false;
  return readdirSync(folder, { recursive: true }).some((name) => String(name).endsWith('.test.ts'));
}

async function provision(): Promise<boolean> {
  heading('provision');
  const { code, ms } = await run(process.execPath, ['--import', 'tsx', 'ops/main.ts', 'provision'], true);
  console.log(
    code === 0 ? `provisioned in ${(ms / 1_000).toFixed(0)} s` : 'a part could not be provisioned, see above',
  );
  return code === 0;
}

async function runStage(stage: Stage, provisioned: boolean): Promise<Counts> {
  heading(stage.project);
  if (!hasTests(join('test', stage.project))) {
    console.log('no tests of this kind');
    return NO_COUNTS;
  }
  if (stage.servers && !provisioned) {
    console.log('not run: its servers are missing; this counts as one failure');
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const { counts } = await runProject(stage.project, true);
  return stage.maySkip === true ? counts : strictCounts(counts);
}

/** Last, when the machine is quiet: it compares ratios, not times, and a row counts as a test. */
async function guard(provisioned: boolean): Promise<Counts> {
  heading('guard');
  if (!provisioned) {
    console.log('not run: its server is missing; this counts as one failure');
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const { code, output } = await run(process.execPath, ['--import', 'tsx', 'bench/guard.ts'], false);
  console.log(output.trimEnd());
  return parseLastLine(output, code);
}

async function main(): Promise<void> {
  const started = Date.now();
  const table: { name: string; counts: Counts; ms: number }[] = [];
  const timed = async (name: string, work: () => Promise<Counts>): Promise<void> => {
    const from = Date.now();
    const counts = await work();
    table.push({ name, counts, ms: Date.now() - from });
  };
  heading('verify');
  await timed('verify', verify);
  const provisioned = await provision();
  for (const stage of STAGES) await timed(stage.project, () => runStage(stage, provisioned));

  await timed('guard', () => guard(provisioned));

  heading('summary');
  for (const { name, counts, ms } of table) {
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
    console.log(`${name.padEnd(12)} ${(ms / 1_000).toFixed(0).padStart(5)} s  ${lastLine(counts)}${skipped}`);
  }
  const total = table.reduce((sum, { counts }) => addCounts(sum, counts), NO_COUNTS);
  console.log(`total ${((Date.now() - started) / 60_000).toFixed(1)} min, ${total.skipped} skipped`);
  console.log(lastLine(total));
  process.exitCode = total.failed === 0 ? 0 : 1;
}

await main();
