import { resolve } from 'node:path';
import { type JaegerOptions, jaegerSpec } from './jaeger.ts';
import { httpOk } from './ready.ts';
import { type ServerHandle, type ServerSpec, startOnFreePorts, startServer } from './server.ts';
import {
  type NatsOptions,
  natsSpec,
  type PrefectOptions,
  prefectSpec,
  type RedisOptions,
  redisSpec,
} from './servers.ts';

/** Servers run in their own folder, where a relative path would mean something else. */
function inPlace<T extends { readonly dir: string }>(options: T): T {
  return { ...options, dir: resolve(options.dir) };
}

export function startNats(options: NatsOptions): Promise<ServerHandle> {
  return startOnFreePorts(
    () => natsSpec(inPlace(options)),
    options.port !== undefined || options.httpPort !== undefined,
  );
}

export function startRedis(options: RedisOptions): Promise<ServerHandle> {
  return startOnFreePorts(() => redisSpec(inPlace(options)), options.port !== undefined);
}

export function startPrefect(options: PrefectOptions): Promise<ServerHandle> {
  return startOnFreePorts(() => prefectSpec(inPlace(options)), options.port !== undefined);
}

export function startJaeger(options: JaegerOptions): Promise<ServerHandle> {
  return startOnFreePorts(
    () => jaegerSpec(inPlace(options)),
    options.queryPort !== undefined || options.otlpPort !== undefined,
  );
}

export interface ProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Its log goes here; it is also where it runs, unless `cwd` says otherwise. */
  readonly dir: string;
  /** Answers 2xx once the process serves. Without one it counts as ready when it has been started. */
  readonly readyUrl?: string;
  readonly readyTimeoutMs?: number;
  readonly stopTimeoutMs?: number;
  readonly cwd?: string;
  readonly detached?: boolean;
  /** Told of the process before it is ready. */
  readonly onLaunch?: NonNullable<ServerSpec['onLaunch']>;
}

/** Controllers, workers, flow hosts: any process, with the same handle as the servers. */
export function startProcess(options: ProcessOptions): Promise<ServerHandle> {
  const { readyUrl } = options;
  return startServer({
    name: options.name,
    command: options.command,
    args: options.args ?? [],
    env: options.env ?? {},
    dir: resolve(options.dir),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.onLaunch === undefined ? {} : { onLaunch: options.onLaunch }),
    detached: options.detached ?? false,
    url: readyUrl === undefined ? '' : new URL(readyUrl).origin,
    ports: readyUrl === undefined ? {} : { http: Number(new URL(readyUrl).port) },
    clientEnv: {},
    ready: async () => readyUrl === undefined || httpOk(readyUrl),
    readyTimeoutMs: options.readyTimeoutMs ?? 30_000,
    stopTimeoutMs: options.stopTimeoutMs ?? 15_000,
  });
}
