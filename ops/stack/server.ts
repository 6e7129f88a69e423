import { setTimeout as pause } from 'node:timers/promises';
import { OpsError } from '../lib/errors.ts';
import { isSameProcess, type ProcessIdentity } from '../lib/identity.ts';
import { isPortFree, portInUse } from './ports.ts';
import {
  launch,
  logTail,
  type ProcessSpec,
  type RunningProcess,
  signalGroup,
  signalProcess,
  waitForEnd,
} from './process.ts';

/** Everything needed to start a server, find out that it serves, and start it again in the same place. */
export interface ServerSpec extends ProcessSpec {
  readonly url: string;
  readonly ports: Readonly<Record<string, number>>;
  /** Which environment variable chooses each port, for the sentence that says what to do. */
  readonly portVariables?: Readonly<Record<string, string>>;
  /** What a client of this server wants in its environment. */
  readonly clientEnv: Readonly<Record<string, string>>;
  /** Asks the server itself; never only time. */
  readonly ready: (pid: number) => Promise<boolean>;
  readonly readyTimeoutMs: number;
  readonly stopTimeoutMs: number;
  /** Told of the process before it is ready, so that it can be recorded before anything can go wrong. */
  readonly onLaunch?: (running: Pick<RunningProcess, 'identity' | 'logFile'>) => void;
}

export interface ServerHandle {
  readonly name: string;
  readonly url: string;
  readonly ports: Readonly<Record<string, number>>;
  /** The first of `ports`: the one clients connect to. */
  readonly port: number;
  /** Of the present process: a restart changes it. */
  readonly pid: number;
  readonly identity: ProcessIdentity;
  readonly logFile: string;
  readonly env: Readonly<Record<string, string>>;
  alive(): boolean;
  /** Asks it to end, waits, insists, and sweeps what it left behind. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** kill -9 and wait for the end. `alone` leaves its own children running: the orphans of a real crash. */
  kill(options?: { alone?: boolean }): Promise<void>;
  /** Starts it again on the same ports and files, stopping it first if it lives. */
  restart(): Promise<void>;
  /** Called after each restart, when `pid` is a new one. */
  onRestart(listener: () => void): void;
}

export async function startServer(spec: ServerSpec): Promise<ServerHandle> {
  return new Handle(spec, await startAndWait(spec));
}

/** A handle on a server that an earlier process of ours started, so that it can be used, stopped and restarted. */
export function attachServer(spec: ServerSpec, identity: ProcessIdentity, logFile: string): ServerHandle {
  return new Handle(spec, { identity, logFile, logStart: 0, ended: new Promise(() => undefined) });
}

class Handle implements ServerHandle {
  readonly name: string;
  readonly url: string;
  readonly ports: Readonly<Record<string, number>>;
  readonly env: Readonly<Record<string, string>>;
  readonly #spec: ServerSpec;
  #running: RunningProcess;
  /** Groups of killed lives that may still have members. */
  readonly #orphans = new Set<number>();
  readonly #listeners: (() => void)[] = [];

  constructor(spec: ServerSpec, running: RunningProcess) {
    this.name = spec.name;
    this.url = spec.url;
    this.ports = spec.ports;
    this.env = spec.clientEnv;
    this.#spec = spec;
    this.#running = running;
  }

  get port(): number {
    return Object.values(this.ports)[0] ?? 0;
  }

  get pid(): number {
    return this.#running.identity.pid;
  }

  get identity(): ProcessIdentity {
    return this.#running.identity;
  }

  get logFile(): string {
    return this.#running.logFile;
  }

  alive(): boolean {
    return isSameProcess(this.#running.identity);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.alive()) {
      signalProcess(this.identity, signal);
      if (!(await waitForEnd(this.identity, this.#spec.stopTimeoutMs))) await this.kill({ alone: true });
      this.#orphans.add(this.pid);
    }
    for (const group of this.#orphans) signalGroup(group, 'SIGKILL');
    this.#orphans.clear();
  }

  async kill(options: { alone?: boolean } = {}): Promise<void> {
    if (!this.alive()) return;
    if (options.alone === true) {
      signalProcess(this.identity, 'SIGKILL');
      this.#orphans.add(this.pid);
    } else {
      signalGroup(this.pid, 'SIGKILL');
    }
    await waitForEnd(this.identity, 10_000);
  }

  async restart(): Promise<void> {
    if (this.alive()) await this.stop();
    await portsGivenBack(this.#spec);
    this.#running = await startAndWait(this.#spec);
    for (const listener of this.#listeners) listener();
  }

  onRestart(listener: () => void): void {
    this.#listeners.push(listener);
  }
}

async function startAndWait(spec: ServerSpec): Promise<RunningProcess> {
  await checkPorts(spec);
  const running = await launch(spec);
  spec.onLaunch?.(running);
  const until = Date.now() + spec.readyTimeoutMs;
  for (let wait = 10; ; wait = Math.min(wait * 1.5, 200)) {
    if (await spec.ready(running.identity.pid)) {
      // Something answers; it must be ours, not a stranger who took the port in between.
      if (isSameProcess(running.identity)) return running;
    }
    if (!isSameProcess(running.identity)) throw await startFailure(spec, running);
    if (Date.now() > until) {
      signalGroup(running.identity.pid, 'SIGKILL');
      await waitForEnd(running.identity, 5_000);
      const tail = logTail(running.logFile, running.logStart);
      const seconds = Math.round(spec.readyTimeoutMs / 1000);
      throw new OpsError('MR_SERVER_START', `${spec.name} was not ready within ${seconds} s. Its last lines:\n${tail}`);
    }
    await pause(wait);
  }
}

/** Where the end of a process is seen by `ps` alone, its ports may outlive it by a moment. */
async function portsGivenBack(spec: ServerSpec): Promise<void> {
  const until = Date.now() + 3_000;
  while (Date.now() < until) {
    const free = await Promise.all(Object.values(spec.ports).map((port) => isPortFree(port)));
    if (free.every(Boolean)) return;
    await pause(20);
  }
}

async function checkPorts(spec: ServerSpec): Promise<void> {
  for (const [key, port] of Object.entries(spec.ports)) {
    if (!(await isPortFree(port))) throw portInUse(spec.name, port, spec.portVariables?.[key]);
  }
}

async function startFailure(spec: ServerSpec, running: RunningProcess): Promise<OpsError> {
  const tail = logTail(running.logFile, running.logStart);
  signalGroup(running.identity.pid, 'SIGKILL');
  // The kernel knows before Node's event says so.
  const how = await Promise.race([running.ended, pause(1_000, 'gone')]);
  const message = `${spec.name} ended while starting (${how}). Its last lines:\n${tail}`;
  const error = new OpsError('MR_SERVER_START', message);
  // It may have lost a race for a port that was free when we looked.
  for (const [key, port] of Object.entries(spec.ports)) {
    if (!(await isPortFree(port))) return portInUse(spec.name, port, spec.portVariables?.[key], error);
  }
  return error;
}

/**
 * Starts on ports of our own choosing: when one is taken between the choice and the start, choose again. A port that
 * the caller named is never replaced.
 */
export async function startOnFreePorts(makeSpec: () => Promise<ServerSpec>, fixed: boolean): Promise<ServerHandle> {
  for (let tries = 1; ; tries++) {
    try {
      return await startServer(await makeSpec());
    } catch (error) {
      const mayRetry = !fixed && tries < 4 && error instanceof OpsError && error.code === 'MR_PORT_IN_USE';
      if (!mayRetry) throw error;
    }
  }
}
