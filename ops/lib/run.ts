/** Runs a command of this repository and tells its exit code, time and output. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Counts, countReport } from './report.ts';

export interface Ran {
  readonly code: number;
  readonly ms: number;
  /** What it printed, when it was captured. */
  readonly output: string;
}

/** Spawns without a shell and without stdin; `show` passes the output through as it comes, else it is captured. */
export function run(command: string, args: readonly string[], show: boolean): Promise<Ran> {
  const started = Date.now();
  return new Promise((resolve) => {
    const child = spawn(command, [...args], {
      stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
    });
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('error', (error) =>
      resolve({ code: 127, ms: Date.now() - started, output: `${output}${error.message}\n` }),
    );
    child.on('close', (code) => resolve({ code: code ?? 1, ms: Date.now() - started, output }));
  });
}

/** Path of a tool that npm installed. */
export const bin = (name: string): string => join('node_modules', '.bin', name);

/** Runs one vitest project and counts its tests. */
export async function runProject(project: string, show: boolean): Promise<Ran & { readonly counts: Counts }> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-report-'));
  const file = join(folder, 'report.json');
  try {
    const reporters = [`--reporter=${show ? 'default' : 'dot'}`, '--reporter=json', `--outputFile.json=${file}`];
    const ran = await run(bin('vitest'), ['run', '--project', project, ...reporters], show);
    if (!existsSync(file)) return { ...ran, counts: { passed: 0, failed: 1, skipped: 0 } };
    return { ...ran, counts: countReport(JSON.parse(readFileSync(file, 'utf8')), ran.code) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
