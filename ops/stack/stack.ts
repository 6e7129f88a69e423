import { join, resolve } from 'node:path';
import { OpsError } from '../lib/errors.ts';
import { isSameProcess } from '../lib/identity.ts';
import { withLock } from '../lib/lock.ts';
import { ROOT_DIR } from '../lib/paths.ts';
import { type Part, type Progress, provision, SILENT, type UnavailablePart } from '../provision/index.ts';
import { jaegerSpec } from './jaeger.ts';
import { stopProcesses, stopRecorded } from './processes.ts';
import { attachServer, type ServerHandle, type ServerSpec } from './server.ts';
import { natsSpec, prefectSpec, redisSpec } from './servers.ts';
import { startJaeger, startNats, startPrefect, startRedis } from './start.ts';
import { type RecordedPart, readState, STACK_PARTS, type StackPart, writeEnvFile, writeState } from './state.ts';

/**
 * The servers of one folder, recorded in its stack.json.
 *
 * 1. `up` starts what is missing and reuses what lives; on ports of its own, so that several stacks live side by side.
 * 2. Every start is recorded before the next begins: an `up` that fails half way can still be taken down.
 * 3. `down` stops recorded processes only, and only while they still are the ones recorded.
 */
export interface UpOptions {
  /** Default: the run folder named `default`. */
  readonly dir?: string;
  /** Default: all four. Redis and Jaeger are left out when they cannot be had; NATS and Prefect are needed. */
  readonly with?: Partial<Readonly<Record<StackPart, boolean>>>;
  /** Default true: the servers stay when this process ends. */
  readonly detached?: boolean;
  readonly progress?: Progress;
}

export interface Stack {
  readonly dir: string;
  readonly nats?: ServerHandle;
  readonly redis?: ServerHandle;
  readonly prefect?: ServerHandle;
  readonly jaeger?: ServerHandle;
  /** What clients of this stack want in their environment: the MILLRACE_*, PREFECT_* and OTEL_* variables. */
  readonly env: Readonly<Record<string, string>>;
  /** Parts found running, not started by this call. */
  readonly reused: readonly StackPart[];
  readonly unavailable: readonly UnavailablePart[];
  down(): Promise<string[]>;
}

/** The folder of one stack; MILLRACE_RUN names another than the usual one, so that two demos can run from one clone. */
export function runDir(name: string = process.env['MILLRACE_RUN'] || 'default'): string {
  return join(ROOT_DIR, '.millrace', 'run', name);
}

const LOCK_WAIT_MS = 5 * 60_000;

export function up(options: UpOptions = {}): Promise<Stack> {
  const dir = resolve(options.dir ?? runDir());
  return withLock(join(dir, 'lock'), { waitMs: LOCK_WAIT_MS }, () => upLocked(dir, options));
}

async function upLocked(dir: string, options: UpOptions): Promise<Stack> {
  // All of them before the first start: a typing mistake must not leave half a stack.
  for (const variable of PORT_VARIABLES) portFrom(variable);
  const wanted = STACK_PARTS.filter((part) => options.with?.[part] ?? true);
  const missing = await missingParts(wanted, options.progress ?? SILENT);
  const handles = new Map<StackPart, ServerHandle>();
  const reused: StackPart[] = [];
  const record = new Recorder(dir);
  // Jaeger's address goes into Prefect's client environment, so it comes first.
  const first = wanted.filter((part) => part !== 'prefect' && !missing.has(part));
  const bringUp = async (part: StackPart): Promise<void> => {
    const known = record.live(part);
    const handle = known === undefined ? await start(part, dir, options, handles) : await attach(part, dir, known);
    if (known !== undefined) reused.push(part);
    handles.set(part, handle);
    record.put(part, handle);
    handle.onRestart(() => record.put(part, handle));
  };
  await allSettledOrThrow(first.map(bringUp));
  if (wanted.includes('prefect')) await bringUp('prefect');
  const env: Record<string, string> = {};
  for (const handle of handles.values()) Object.assign(env, handle.env);
  writeEnvFile(dir, env);
  return {
    dir,
    ...Object.fromEntries(handles),
    env,
    reused,
    unavailable: [...missing.values()],
    down: () => down(dir),
  };
}

/** Waits for all before it fails, so that nothing is still starting when the caller hears of the failure. */
async function allSettledOrThrow(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

async function missingParts(
  wanted: readonly StackPart[],
  progress: Progress,
): Promise<ReadonlyMap<StackPart, UnavailablePart>> {
  const parts: Part[] = await provision(wanted, progress);
  const missing = new Map<StackPart, UnavailablePart>();
  for (const part of parts) {
    const name = wanted.find((one) => one === part.name);
    if (part.status === 'available' || name === undefined) continue;
    if (name === 'nats' || name === 'prefect') {
      throw new OpsError('MR_UNAVAILABLE', `${name} is needed and not available: ${part.reason}`);
    }
    missing.set(name, part);
  }
  return missing;
}

class Recorder {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  live(part: StackPart): RecordedPart | undefined {
    const known = readState(this.#dir).parts[part];
    return known !== undefined && isSameProcess(known) ? known : undefined;
  }

  put(part: StackPart, handle: ServerHandle): void {
    const { url, ports, env, logFile, identity } = handle;
    const recorded: RecordedPart = { ...identity, url, ports, env, logFile };
    // Read afresh: a restart may come long after another process changed the rest.
    const state = readState(this.#dir);
    writeState(this.#dir, { ...state, parts: { ...state.parts, [part]: recorded } });
  }
}

const PORT_VARIABLES = [
  'MILLRACE_NATS_PORT',
  'MILLRACE_NATS_HTTP_PORT',
  'MILLRACE_REDIS_PORT',
  'MILLRACE_PREFECT_PORT',
  'MILLRACE_JAEGER_PORT',
  'MILLRACE_OTLP_PORT',
] as const;

function portFrom(variable: (typeof PORT_VARIABLES)[number]): number | undefined {
  const text = process.env[variable];
  if (text === undefined || text === '') return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new OpsError('MR_USAGE', `${variable} is "${text}"; it must be a port number from 1 to 65535.`);
}

/** `exactOptionalPropertyTypes` tells absent from undefined; so do we. */
function defined<K extends string>(key: K, value: number | undefined): { [P in K]?: number } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: number });
}

function start(
  part: StackPart,
  dir: string,
  options: UpOptions,
  handles: ReadonlyMap<StackPart, ServerHandle>,
): Promise<ServerHandle> {
  const common = { dir: join(dir, part), detached: options.detached ?? true };
  switch (part) {
    case 'nats': {
      const ports = {
        ...defined('port', portFrom('MILLRACE_NATS_PORT')),
        ...defined('httpPort', portFrom('MILLRACE_NATS_HTTP_PORT')),
      };
      return startNats({ ...common, ...ports });
    }
    case 'redis':
      return startRedis({ ...common, ...defined('port', portFrom('MILLRACE_REDIS_PORT')) });
    case 'jaeger': {
      const ports = {
        ...defined('queryPort', portFrom('MILLRACE_JAEGER_PORT')),
        ...defined('otlpPort', portFrom('MILLRACE_OTLP_PORT')),
      };
      return startJaeger({ ...common, ...ports });
    }
    case 'prefect': {
      const otlp = handles.get('jaeger')?.env['MILLRACE_OTLP_URL'];
      const telemetry = otlp === undefined ? {} : { otlpEndpoint: otlp };
      return startPrefect({ ...common, ...defined('port', portFrom('MILLRACE_PREFECT_PORT')), ...telemetry });
    }
  }
}

/** The spec of a running server, made again from its recorded ports, so that the handle can restart it. */
async function attach(part: StackPart, dir: string, known: RecordedPart): Promise<ServerHandle> {
  const common = { dir: join(dir, part), detached: true };
  const { ports } = known;
  const spec = await attachedSpec(part, common, ports, known);
  return attachServer({ ...spec, url: known.url, clientEnv: known.env }, known, known.logFile);
}

function attachedSpec(
  part: StackPart,
  common: { dir: string; detached: boolean },
  ports: Readonly<Record<string, number>>,
  known: RecordedPart,
): Promise<ServerSpec> {
  switch (part) {
    case 'nats':
      return natsSpec({ ...common, ...defined('port', ports['client']), ...defined('httpPort', ports['http']) });
    case 'redis':
      return redisSpec({ ...common, ...defined('port', ports['client']) });
    case 'jaeger':
      return jaegerSpec({ ...common, ...defined('queryPort', ports['query']), ...defined('otlpPort', ports['otlp']) });
    case 'prefect': {
      const otlp = known.env['OTEL_EXPORTER_OTLP_ENDPOINT'];
      const telemetry = otlp === undefined ? {} : { otlpEndpoint: otlp };
      return prefectSpec({ ...common, ...defined('port', ports['api']), ...telemetry });
    }
  }
}

/** Stops what `up` and `keepProcess` recorded in `dir`; gives what was running. Data and logs stay. */
export function down(dir: string = runDir()): Promise<string[]> {
  const folder = resolve(dir);
  return withLock(join(folder, 'lock'), { waitMs: LOCK_WAIT_MS }, async () => {
    const stopped: string[] = await stopProcesses(folder);
    const { parts } = readState(folder);
    // Clients before what they talk to, so that no log ends in connection errors.
    for (const part of ['prefect', 'jaeger', 'redis', 'nats'] as const) {
      const known = parts[part];
      if (known === undefined || !isSameProcess(known)) continue;
      await stopRecorded(part, known);
      stopped.push(part);
    }
    writeState(folder, { format: 1, parts: {} });
    return stopped;
  });
}

export interface PartStatus {
  readonly part: StackPart;
  readonly running: boolean;
  readonly pid?: number;
  readonly url?: string;
  readonly logFile?: string;
}

export function status(dir: string = runDir()): PartStatus[] {
  const { parts } = readState(resolve(dir));
  return STACK_PARTS.map((part) => {
    const known = parts[part];
    if (known === undefined || !isSameProcess(known)) return { part, running: false };
    return { part, running: true, pid: known.pid, url: known.url, logFile: known.logFile };
  });
}
