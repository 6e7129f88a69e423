/**
 * The whole product on real servers: NATS, Redis, Prefect (and Jaeger when asked), with controllers, workers and flow
 * hosts as processes of their own, so that a test can end any of them the hard way.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  freePort,
  prefectPython,
  type ServerHandle,
  startJaeger,
  startNats,
  startPrefect,
  startProcess,
  startRedis,
} from '../../ops/stack/index.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface SystemOptions {
  /** Manifest files or folders, from the repository's root. */
  readonly manifests: readonly string[];
  /** The worker program, from the repository's root. */
  readonly worker: string;
  /** Folder with the flows, from the repository's root. */
  readonly flows: string;
  readonly controllers?: number;
  readonly workers?: number;
  readonly hosts?: number;
  /** Processes of each host's pool. */
  readonly hostProcesses?: number;
  readonly jaeger?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

export interface System {
  readonly dir: string;
  /** What a client (or the command line) wants in its environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly nats: ServerHandle;
  readonly redis: ServerHandle;
  readonly prefect: ServerHandle;
  readonly jaeger: ServerHandle | undefined;
  readonly controllers: readonly ServerHandle[];
  readonly workers: readonly ServerHandle[];
  readonly hosts: readonly ServerHandle[];
  /** Runs `millrace …` and gives its exit code and output. */
  cli(...args: readonly string[]): Promise<CliResult>;
  stop(): Promise<void>;
}

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line as a process of its own. */
export async function runCli(args: readonly string[], env: Readonly<Record<string, string>>): Promise<CliResult> {
  const { execFile } = await import('node:child_process');
  return new Promise((resolve) => {
    const argv = ['--import', 'tsx', 'src/cli/main.ts', ...args];
    const options = { cwd: ROOT, env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024, timeout: 120_000 };
    execFile(process.execPath, argv, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
  });
}

/** `count` processes of one role, each with a health port of its own, ready when they say so. */
async function roles(
  count: number,
  role: string,
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  dir: string,
): Promise<ServerHandle[]> {
  const starts = Array.from({ length: count }, async (_, index) => {
    const port = await freePort();
    return startProcess({
      name: `${role}-${index + 1}`,
      command,
      args,
      cwd: ROOT,
      dir,
      env: { ...env, MILLRACE_HTTP_PORT: String(port), MILLRACE_HOST_HOME: join(dir, `${role}-${index + 1}-home`) },
      readyUrl: `http://127.0.0.1:${port}/readyz`,
      readyTimeoutMs: 90_000,
    });
  });
  return Promise.all(starts);
}

/** Starts everything, applies the manifests, and gives the handles. Nothing is left behind when a part cannot start. */
export async function startSystem(options: SystemOptions): Promise<System> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-system-'));
  const started: ServerHandle[] = [];
  const keep = async <T extends ServerHandle>(handle: Promise<T>): Promise<T> => {
    const value = await handle;
    started.push(value);
    return value;
  };
  const stop = async (): Promise<void> => {
    for (const handle of started.reverse()) await handle.stop('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const jaeger = options.jaeger === true ? await keep(startJaeger({ dir: join(dir, 'jaeger') })) : undefined;
    const otlp = jaeger?.env['MILLRACE_OTLP_URL'];
    const [nats, redis, prefect] = await Promise.all([
      keep(startNats({ dir: join(dir, 'nats') })),
      keep(startRedis({ dir: join(dir, 'redis') })),
      keep(startPrefect({ dir: join(dir, 'prefect'), ...(otlp === undefined ? {} : { otlpEndpoint: otlp }) })),
    ]);
    const env = { ...jaeger?.env, ...prefect.env, ...redis.env, ...nats.env, ...options.env };
    await applyManifests(options.manifests, env);
    const processes = await startProcesses(options, env, dir);
    started.push(...processes.hosts, ...processes.workers, ...processes.controllers);
    return { dir, env, nats, redis, prefect, jaeger, ...processes, cli: (...args) => runCli(args, env), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function applyManifests(manifests: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  const applied = await runCli(['apply', ...manifests], env);
  if (applied.code !== 0) throw new Error(`apply failed (${applied.code}): ${applied.stdout}${applied.stderr}`);
}

async function startProcesses(
  options: SystemOptions,
  env: Readonly<Record<string, string>>,
  dir: string,
): Promise<Pick<System, 'controllers' | 'workers' | 'hosts'>> {
  const python = await prefectPython();
  const tsx = ['--import', 'tsx'];
  const hostEnv = {
    ...env,
    PYTHONPATH: join(ROOT, 'ops', 'prefect'),
    MILLRACE_HOST_PROCESSES: String(options.hostProcesses ?? 2),
  };
  const flows = ['-m', 'host', '--flows', join(ROOT, options.flows)];
  const [hosts, controllers, workers] = await Promise.all([
    roles(options.hosts ?? 1, 'host', python, flows, hostEnv, dir),
    roles(
      options.controllers ?? 1,
      'controller',
      process.execPath,
      [...tsx, 'src/cli/main.ts', 'controller'],
      env,
      dir,
    ),
    roles(options.workers ?? 1, 'worker', process.execPath, [...tsx, options.worker], env, dir),
  ]);
  return { hosts, controllers, workers };
}
