import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { OpsError } from '../lib/errors.ts';
import { lastLines, which } from '../lib/exec.ts';
import { identityOf, isSameProcess, type ProcessIdentity } from '../lib/identity.ts';

/**
 * One child process and its whole group.
 *
 * 1. Every child leads a process group of its own: Ctrl-C at the terminal reaches us alone, and we end the others in order.
 * 2. A child that is not `detached` does not outlive us, however we end: exit hook, signal hook, and on Linux the kernel.
 * 3. Nobody is signalled by pid alone: the start mark must still match.
 */
export interface ProcessSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Added to our own environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Where the log goes, and where the process runs unless `cwd` is given. */
  readonly dir: string;
  readonly cwd?: string;
  readonly detached: boolean;
}

export interface RunningProcess {
  readonly identity: ProcessIdentity;
  readonly logFile: string;
  /** Where this start's own lines begin in the log, so that an error never quotes an earlier life. */
  readonly logStart: number;
  /** How the child ended; never known for a process that is not our child. */
  readonly ended: Promise<string>;
}

const attached = new Set<number>();
let hooked = false;

export function launch(spec: ProcessSpec): Promise<RunningProcess> {
  mkdirSync(spec.dir, { recursive: true });
  const logFile = join(spec.dir, `${spec.name}.log`);
  const log = openSync(logFile, 'a', 0o600);
  const logStart = statSync(logFile).size;
  const [command, args] = spec.detached ? [spec.command, spec.args] : tiedToUs(spec.command, spec.args);
  const child = spawn(command, [...args], {
    cwd: spec.cwd ?? spec.dir,
    env: { ...process.env, ...spec.env },
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(new OpsError('MR_SERVER_START', `${spec.name} cannot be started: ${error.message}`, { cause: error }));
    });
    child.once('spawn', () => resolve(track(child, spec, logFile, logStart)));
  });
}

function track(child: ChildProcess, spec: ProcessSpec, logFile: string, logStart: number): RunningProcess {
  const pid = child.pid ?? -1;
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
  if (spec.detached) {
    child.unref();
  } else {
    attached.add(pid);
    hookOnce();
  }
  const identity = identityOf(pid) ?? { pid, started: 'gone' };
  return { identity, logFile, logStart, ended };
}

/** The kernel ends the child with us, even after kill -9: setpriv asks it to and then becomes the child. */
function tiedToUs(command: string, args: readonly string[]): [string, readonly string[]] {
  const setpriv = findSetpriv();
  return setpriv === undefined ? [command, args] : [setpriv, ['--pdeathsig', 'KILL', '--', command, ...args]];
}

let setprivPath: string | null | undefined;

function findSetpriv(): string | undefined {
  if (setprivPath === undefined) {
    const path = process.platform === 'linux' ? which('setpriv') : undefined;
    // Busybox has a setpriv that does not know this option.
    const works = path !== undefined && spawnSync(path, ['--pdeathsig', 'KILL', '--', 'true']).status === 0;
    setprivPath = works ? path : null;
  }
  return setprivPath ?? undefined;
}

function hookOnce(): void {
  if (hooked) return;
  hooked = true;
  process.once('exit', endAttached);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    const hook = (): void => {
      // Whoever listens too wants to end in order and stops what it started; the exit hook catches the rest.
      if (process.listenerCount(signal) > 1) return;
      process.off(signal, hook);
      endAttached();
      process.kill(process.pid, signal);
    };
    process.on(signal, hook);
  }
}

function endAttached(): void {
  for (const pid of attached) signalGroup(pid, 'SIGKILL');
}

export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is gone, which was the wish.
  }
}

/** Signals the process alone, and only if it still is the one meant. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isSameProcess(identity)) return;
  try {
    process.kill(identity.pid, signal);
  } catch {
    // Ended between the look and the signal.
  }
}

export async function waitForEnd(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const until = Date.now() + timeoutMs;
  while (isSameProcess(identity)) {
    if (Date.now() > until) return false;
    await pause(20);
  }
  attached.delete(identity.pid);
  return true;
}

export function logTail(logFile: string, from: number, lines = 12): string {
  try {
    return lastLines(readFileSync(logFile).subarray(from).toString('utf8'), lines);
  } catch {
    return '';
  }
}
