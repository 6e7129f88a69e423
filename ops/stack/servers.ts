import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { OPS_DIR } from '../lib/paths.ts';
import { requirePart, templateDatabase } from '../provision/index.ts';
import { freePort } from './ports.ts';
import { firstLine, httpOk } from './ready.ts';
import type { ServerSpec } from './server.ts';

/** How each server is started. Making a spec writes its configuration into its folder and starts nothing. */
export interface NatsOptions {
  readonly dir: string;
  readonly port?: number;
  readonly httpPort?: number;
  readonly token?: string;
  /** Lines in the server's own configuration language. */
  readonly extraConf?: string;
  readonly detached?: boolean;
}

export async function natsSpec(options: NatsOptions): Promise<ServerSpec> {
  const { command } = await requirePart('nats');
  const port = options.port ?? (await freePort());
  const http = options.httpPort ?? (await freePort());
  // The same for the same store: another process that attaches to this server must expect the same greeting.
  const serverName = `millrace-${createHash('sha256').update(resolve(options.dir)).digest('hex').slice(0, 12)}`;
  mkdirSync(options.dir, { recursive: true });
  const conf = join(options.dir, 'nats.conf');
  const lines = [
    // Paths of an include count from the including file, even absolute ones.
    `include ${JSON.stringify(relative(options.dir, join(OPS_DIR, 'nats', 'nats-server.conf')))}`,
    `server_name: ${serverName}`,
    `listen: "127.0.0.1:${port}"`,
    `http: "127.0.0.1:${http}"`,
    ...(options.token === undefined ? [] : [`authorization { token: ${JSON.stringify(options.token)} }`]),
    options.extraConf ?? '',
  ];
  // It may hold a token.
  writeFileSync(conf, `${lines.join('\n')}\n`, { mode: 0o600 });
  const url = `nats://127.0.0.1:${port}`;
  return {
    name: 'nats',
    command,
    args: ['-c', conf, '--store_dir', join(options.dir, 'jetstream')],
    env: {},
    dir: options.dir,
    detached: options.detached ?? false,
    url,
    ports: { client: port, http },
    portVariables: { client: 'MILLRACE_NATS_PORT', http: 'MILLRACE_NATS_HTTP_PORT' },
    clientEnv: {
      MILLRACE_NATS_URL: url,
      MILLRACE_NATS_MONITOR_URL: `http://127.0.0.1:${http}`,
      ...(options.token === undefined ? {} : { MILLRACE_NATS_TOKEN: options.token }),
    },
    // The greeting carries the name: an answer from somebody else's server does not count as ours.
    ready: async () => {
      if (!((await firstLine(port)) ?? '').includes(serverName)) return false;
      return httpOk(`http://127.0.0.1:${http}/healthz?js-enabled-only=true`);
    },
    readyTimeoutMs: 30_000,
    stopTimeoutMs: 10_000,
  };
}

export interface RedisOptions {
  readonly dir: string;
  readonly port?: number;
  readonly detached?: boolean;
}

export async function redisSpec(options: RedisOptions): Promise<ServerSpec> {
  const { command } = await requirePart('redis');
  const port = options.port ?? (await freePort());
  const url = `redis://127.0.0.1:${port}`;
  return {
    name: 'redis',
    command,
    args: [join(OPS_DIR, 'redis', 'redis.conf'), '--port', String(port), '--dir', options.dir],
    env: {},
    dir: options.dir,
    detached: options.detached ?? false,
    url,
    ports: { client: port },
    portVariables: { client: 'MILLRACE_REDIS_PORT' },
    clientEnv: { MILLRACE_REDIS_URL: url },
    ready: async () => (await firstLine(port, 'PING\r\n')) === '+PONG',
    readyTimeoutMs: 15_000,
    stopTimeoutMs: 5_000,
  };
}

export interface PrefectOptions {
  readonly dir: string;
  readonly port?: number;
  /** Base URL of an OTLP/HTTP receiver, handed to clients (the flow host): the server itself makes no spans. */
  readonly otlpEndpoint?: string;
  /** Prefect's message bus on JetStream instead of in memory (ops/prefect/prefect_nats). */
  readonly messaging?: { readonly natsUrl: string };
  readonly detached?: boolean;
}

const PREFECT_PACKAGES = join(OPS_DIR, 'prefect');

function messagingEnv({ messaging }: PrefectOptions): Record<string, string> {
  if (messaging === undefined) return {};
  return {
    PYTHONPATH: PREFECT_PACKAGES,
    PREFECT_MESSAGING_BROKER: 'prefect_nats.messaging',
    PREFECT_MESSAGING_CACHE: 'prefect_nats.messaging',
    PREFECT_NATS_URL: messaging.natsUrl,
  };
}

/** Prefect reports usage from the server, from clients, and advertises in its web page. All three are off. */
export const PREFECT_QUIET: Readonly<Record<string, string>> = {
  DO_NOT_TRACK: '1',
  PREFECT_SERVER_ANALYTICS_ENABLED: 'false',
  PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT: 'false',
  PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS: 'false',
};

export async function prefectSpec(options: PrefectOptions): Promise<ServerSpec> {
  const { command } = await requirePart('prefect');
  const port = options.port ?? (await freePort());
  const home = join(options.dir, 'prefect-home');
  const url = `http://127.0.0.1:${port}/api`;
  mkdirSync(home, { recursive: true });
  const database = join(home, 'prefect.db');
  if (!existsSync(database)) copyFileSync(templateDatabase(command), database);
  return {
    name: 'prefect',
    command,
    // Not `prefect server start`: this is the same application with the same services in one process, without the
    // command line's imports and banner, so that ending the pid ends it all. sqlite_server.py says what it changes.
    args: [
      ...['-m', 'uvicorn', '--factory', 'sqlite_server:create_app', '--app-dir', join(OPS_DIR, 'prefect', 'server')],
      ...['--host', '127.0.0.1'],
      ...['--port', String(port), '--log-level', 'warning', '--timeout-keep-alive', '60'],
      ...['--timeout-graceful-shutdown', '3'],
    ],
    env: {
      ...PREFECT_QUIET,
      PREFECT_HOME: home,
      PREFECT_API_URL: url,
      PREFECT_SERVER_API_HOST: '127.0.0.1',
      PREFECT_SERVER_API_PORT: String(port),
      PREFECT_SERVER_LOGGING_LEVEL: 'WARNING',
      PREFECT_SERVER_DATABASE_CONNECTION_URL: `sqlite+aiosqlite:///${database}`,
      PREFECT__SERVER_FINAL: '1',
      ...messagingEnv(options),
    },
    dir: options.dir,
    detached: options.detached ?? false,
    url,
    ports: { api: port },
    portVariables: { api: 'MILLRACE_PREFECT_PORT' },
    clientEnv: prefectClientEnv(url, options),
    ready: () => httpOk(`${url}/health`),
    readyTimeoutMs: 120_000,
    stopTimeoutMs: 10_000,
  };
}

function prefectClientEnv(url: string, options: PrefectOptions): Record<string, string> {
  const otlp = options.otlpEndpoint;
  return {
    ...PREFECT_QUIET,
    MILLRACE_PREFECT_URL: url,
    PREFECT_API_URL: url,
    // Not the server's home: a client must never find the server's database and open it itself.
    PREFECT_HOME: join(options.dir, 'prefect-client-home'),
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: 'false',
    ...(otlp === undefined
      ? {}
      : {
          OTEL_EXPORTER_OTLP_ENDPOINT: otlp,
          OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
          OTEL_TRACES_EXPORTER: 'otlp',
          OTEL_METRICS_EXPORTER: 'none',
          OTEL_LOGS_EXPORTER: 'none',
        }),
  };
}
