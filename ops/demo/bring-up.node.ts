/**
 * Everything the demo stands on: servers, manifests, processes. All of it is recorded in the stack's folder before it is
 * used, so that `make down` finds it, and reused by the next demo.
 */
import { execFile } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { OpsError } from '../lib/errors.ts';
import { withLock } from '../lib/lock.ts';
import { ROOT_DIR } from '../lib/paths.ts';
import { printProgress } from '../provision/index.ts';
import { freePort, type KeptProcess, keepProcess, prefectPython, runDir, type Stack, up } from '../stack/index.ts';

const TSX = ['--import', 'tsx'];
const CLI = 'src/cli/main.ts';
const READY_MS = 120_000;
const LOCK_WAIT_MS = 5 * 60_000;

export interface Demo {
  readonly stack: Stack;
  readonly env: Readonly<Record<string, string>>;
  readonly processes: readonly KeptProcess[];
}

export interface BringUp {
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
  /** Told of the stack as soon as it is there, for the clean-up. */
  readonly onStack: (stack: Stack) => void;
  /** Told of every process that is started, not of those that were running. */
  readonly onProcess: (name: string) => void;
}

/**
 * Starts what is missing.
 * @throws OpsError when a part that is needed cannot be had, or the manifests cannot be applied
 */
export async function bringUp({ say, signal, onStack, onProcess }: BringUp): Promise<Demo> {
  say('Servers');
  const stack = await up({ dir: runDir(), progress: printProgress({ write: (line) => say(`  ${line}`) }) });
  onStack(stack);
  signal.throwIfAborted();
  for (const part of stack.unavailable) say(`  ${part.reason}`);
  if (stack.reused.length > 0) say(`  running already: ${stack.reused.join(', ')}`);
  const env = { ...stack.env };

  say('Manifests in streams/');
  say(`  ${await apply(env)}`);
  signal.throwIfAborted();

  say('Processes');
  // Two demos that start at once in one folder: the second finds what the first has recorded, and starts nothing twice.
  const lock = join(stack.dir, 'processes.lock');
  const processes = await withLock(lock, { waitMs: LOCK_WAIT_MS }, () => startProcesses(stack, env, onProcess));
  for (const { name, reused } of processes) say(`  ✓ ${name.padEnd(12)} ${reused ? 'running already' : 'ready'}`);
  signal.throwIfAborted();
  return { stack, env, processes };
}

interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line as a user would. */
export function millrace(args: readonly string[], env: Readonly<Record<string, string>>): Promise<CommandResult> {
  return new Promise((resolve) => {
    const options = { cwd: ROOT_DIR, env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 };
    execFile(process.execPath, [...TSX, CLI, ...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, stdout, stderr });
    });
  });
}

/** Applies them; gives the line that says what has changed. */
async function apply(env: Readonly<Record<string, string>>): Promise<string> {
  const { code, stdout, stderr } = await millrace(['apply', 'streams/'], env);
  if (code !== 0) throw new OpsError('MR_COMMAND', `The manifests could not be applied:\n${stderr}${stdout}`.trimEnd());
  return stdout.trimEnd().split('\n').at(-1) ?? '';
}

/** A second controller needs the queue on Redis; without it the reconcile queue is one process's memory. */
const controllerCount = (stack: Stack): number => (stack.redis === undefined ? 1 : 2);

async function startProcesses(
  stack: Stack,
  env: Readonly<Record<string, string>>,
  onProcess: (name: string) => void,
): Promise<KeptProcess[]> {
  // A process that runs older code is not reused.
  const version = String(Math.round(newestChange(['src', 'ops/demo', 'ops/prefect'])));
  const python = await prefectPython();
  const dir = join(stack.dir, 'processes');
  const keep = async (name: string, command: string, args: string[], more: Record<string, string> = {}) => {
    const port = await freePort();
    return keepProcess(stack.dir, {
      ...{ name, command, args, dir, cwd: ROOT_DIR, version },
      env: { ...env, ...more, MILLRACE_HTTP_PORT: String(port) },
      readyUrl: `http://127.0.0.1:${port}/readyz`,
      readyTimeoutMs: READY_MS,
      onStart: () => onProcess(name),
    });
  };
  const host = keep('flow-host', python, ['-m', 'host', '--flows', join(ROOT_DIR, 'ops', 'prefect', 'flows')], {
    PYTHONPATH: join(ROOT_DIR, 'ops', 'prefect'),
    MILLRACE_HOST_HOME: join(dir, 'flow-host-home'),
    MILLRACE_HOST_PROCESSES: String(availableParallelism()),
  });
  const controllers = Array.from({ length: controllerCount(stack) }, (_, i) =>
    keep(`controller-${i + 1}`, process.execPath, [...TSX, CLI, 'controller']),
  );
  const worker = keep('worker', process.execPath, [...TSX, 'ops/demo/worker.ts']);
  // All are awaited before one failure is told, so that nothing is still starting by then.
  const results = await Promise.allSettled([...controllers, worker, host]);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

/** The time of the latest change below these folders, in ms since the epoch. */
export function newestChange(folders: readonly string[]): number {
  let newest = 0;
  for (const folder of folders) {
    for (const entry of readdirSync(join(ROOT_DIR, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || entry.parentPath.includes('__pycache__')) continue;
      newest = Math.max(newest, statSync(join(entry.parentPath, entry.name)).mtimeMs);
    }
  }
  return newest;
}
