/**
 * A host of a system (host.ts) as seen by whoever measures it.
 *
 * 1. Each host is a process of its own: one system's garbage and timers never weigh on another's.
 * 2. A host that fails, or does not answer in time, is ended with its whole tree of processes; so is one whose parent ends.
 * 3. The folder for its servers' data is removed when it has ended, or with us (whoever is ended by a signal calls `process.exit`).
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { lastLines } from '../../ops/lib/exec.ts';
import { identityOf, isSameProcess, type ProcessIdentity } from '../../ops/lib/identity.ts';
import { signalProcess, waitForEnd } from '../../ops/stack/process.ts';
import { processTree } from './proc.ts';
import type { About, Operation, OptionsOf, Request, Response, ResultOf } from './protocol.ts';
import { type RegisteredSystem, systemNamed } from './registry.ts';
import type { Sync } from './system.ts';

type Measurements = {
  readonly [O in Exclude<Operation, 'start' | 'stop'>]: (options: OptionsOf<O>) => Promise<ResultOf<O>>;
};

export interface HostHandle extends About, Measurements {
  /** Stops system, servers and host; never rejects, and may be called twice. */
  stop(): Promise<void>;
}

export interface HostOptions {
  /** How long one request may take before the host counts as hung. */
  readonly timeoutMs?: number;
}

const HOST = fileURLToPath(new URL('./host.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');
/** Every host alike: thousands of runs under way outlive a young generation of the usual size, and are copied for nothing. */
const YOUNG = ['--max-semi-space-size=64'];
const TIMEOUT_MS = 5 * 60_000;
const STOP_MS = 30_000;
const EXIT_MS = 3_000;
const KEPT_OUTPUT = 20_000;

const open = new Set<Host>();

process.once('exit', () => {
  for (const host of open) host.drop();
});

class Host {
  readonly #child: ChildProcess;
  readonly #dir = mkdtempSync(join(tmpdir(), 'millrace-system-'));
  readonly #exited: Promise<void>;
  readonly #waiting = new Map<number, { resolve(result: Response): void; reject(error: Error): void }>();
  #servers: readonly (ProcessIdentity | undefined)[] = [];
  #output = '';
  #next = 0;
  #stopping: Promise<void> | undefined;
  readonly #system: RegisteredSystem;
  readonly #timeoutMs: number;

  constructor(system: RegisteredSystem, timeoutMs: number) {
    this.#system = system;
    this.#timeoutMs = timeoutMs;
    open.add(this);
    const preload = (system.preload ?? []).flatMap((module) => ['--import', module]);
    this.#child = fork(HOST, [], {
      execArgv: [...YOUNG, '--import', TSX, ...preload, ...(system.execArgv ?? [])],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-KEPT_OUTPUT);
      });
    }
    this.#child.on('message', (response: Response) => this.#waiting.get(response.id)?.resolve(response));
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        resolve();
        this.#failAll(`ended (${signal ?? `exit code ${code}`})`);
      });
      this.#child.once('error', (error) => {
        resolve();
        this.#failAll(error.message);
      });
    });
  }

  #failAll(how: string): void {
    const said = lastLines(this.#output, 12);
    const error = new Error(`the host of ${this.#system.name} ${how}${said === '' ? '' : `; it said:\n${said}`}`);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  async #ask<O extends Operation>(op: O, options: OptionsOf<O>, timeoutMs: number): Promise<ResultOf<O>> {
    const id = this.#next++;
    let timer: NodeJS.Timeout | undefined;
    try {
      const response = await new Promise<Response>((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject });
        timer = setTimeout(() => reject(new Error(`${this.#system.name}: ${op} took over ${timeoutMs} ms`)), timeoutMs);
        this.#child.send({ id, op, options } as Request, (error) => {
          if (error !== null) this.#failAll(`cannot be reached: ${error.message}`);
        });
      });
      if ('error' in response) throw new Error(`${this.#system.name}: ${op} failed: ${response.error}`);
      return response.result as ResultOf<O>;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** Asks; whatever fails leaves no host behind. */
  async ask<O extends Operation>(op: O, options: OptionsOf<O>): Promise<ResultOf<O>> {
    if (this.#stopping !== undefined) throw new Error(`the host of ${this.#system.name} has been stopped`);
    try {
      return await this.#ask(op, options, this.#timeoutMs);
    } catch (error) {
      await this.end();
      throw error;
    }
  }

  async start(sync: Sync): Promise<About> {
    const about = await this.ask('start', { module: this.#system.module, sync, dir: this.#dir });
    this.#servers = about.serverPids.map(identityOf);
    return about;
  }

  stop(): Promise<void> {
    if (this.#stopping === undefined && this.#child.connected) {
      this.#stopping = this.#ask('stop', {}, STOP_MS)
        .then(() => undefined)
        .catch(() => undefined)
        // It ends by itself; a profile that Node was asked for is written then.
        .then(() => Promise.race([this.#exited, pause(EXIT_MS, undefined, { ref: false })]))
        .then(() => this.#kill());
    }
    return this.end();
  }

  end(): Promise<void> {
    return (this.#stopping ??= this.#kill());
  }

  async #kill(): Promise<void> {
    const killed = this.#killTree();
    await this.#exited;
    for (const one of killed) await waitForEnd(one, EXIT_MS);
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    open.delete(this);
  }

  #killTree(): readonly ProcessIdentity[] {
    const { pid, exitCode, signalCode } = this.#child;
    const host = pid === undefined || exitCode !== null || signalCode !== null ? [] : [pid];
    // A host that died by itself has lost its servers.
    const servers = this.#servers.flatMap((one) => (one !== undefined && isSameProcess(one) ? one.pid : []));
    const tree = processTree([...host, ...servers]).flatMap((one) => {
      const identity = identityOf(one);
      return identity === undefined ? [] : [identity];
    });
    for (const one of tree) signalProcess(one, 'SIGKILL');
    return tree;
  }

  /** Ends all at once, for want of time. */
  drop(): void {
    this.#killTree();
    rmSync(this.#dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/**
 * Starts a system of the registry, servers and all, in a process of its own.
 *
 * @throws Error that says why, when it cannot be had here or does not start; nothing is left running then
 */
export async function openHost(
  named: string | RegisteredSystem,
  sync: Sync,
  { timeoutMs = TIMEOUT_MS }: HostOptions = {},
): Promise<HostHandle> {
  const system = typeof named === 'string' ? systemNamed(named) : named;
  const lacking = await system.provision?.();
  if (lacking !== undefined) throw new Error(`${system.name} is not to be had here: ${lacking}`);
  const host = new Host(system, timeoutMs);
  const about = await host.start(sync);
  return {
    ...about,
    saturated: (options) => host.ask('saturated', options),
    alone: (options) => host.ask('alone', options),
    openLoop: (options) => host.ask('openLoop', options),
    fanOut: (options) => host.ask('fanOut', options),
    sleep: (options) => host.ask('sleep', options),
    signal: (options) => host.ask('signal', options),
    stop: () => host.stop(),
  };
}
