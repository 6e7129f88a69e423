/** The environment as settings. The one place that knows the variables' names; docs/protocol.md lists them. Pure. */
import { z } from 'zod';
import type { Settings } from '../cli/index.ts';
import { groupCommitSetting, isToken, MillraceError } from '../kernel/index.ts';

/** An empty variable counts as unset, as shells and compose files write it. */
const text = z
  .string()
  .optional()
  .transform((value) => (value === undefined || value.trim() === '' ? undefined : value.trim()));

function url(what: string, protocols: readonly string[]) {
  return text.refine((value) => value === undefined || isUrl(value, protocols), {
    message: `expected ${what}`,
  });
}

function isUrl(value: string, protocols: readonly string[]): boolean {
  return URL.canParse(value) && protocols.includes(new URL(value).protocol);
}

const HTTP = ['http:', 'https:'];
const NATS = ['nats:', 'tls:', 'ws:', 'wss:'];

const natsUrl = text
  .transform((value) => value ?? 'nats://127.0.0.1:4222')
  .refine((value) => value.split(',').every((one) => isUrl(withScheme(one.trim()), NATS)), {
    message: 'expected one or more addresses such as nats://127.0.0.1:4222, separated by commas',
  });

/** NATS clients take `host:port` as well. */
function withScheme(address: string): string {
  return address.includes('://') ? address : `nats://${address}`;
}

const port = text
  .transform((value) => (value === undefined ? 0 : Number(value)))
  .refine((value) => Number.isInteger(value) && value >= 0 && value <= 65_535, {
    message: 'expected a port number from 0 (any free one) to 65535',
  });

const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];
const logLevel = text
  .transform((value) => value ?? 'info')
  .refine((value) => LEVELS.includes(value), { message: `expected one of ${LEVELS.join(', ')}` });

const environment = z.object({
  MILLRACE_NATS_URL: natsUrl,
  MILLRACE_NATS_TOKEN: text,
  MILLRACE_NATS_CREDS: text,
  MILLRACE_NATS_MONITOR_URL: url('the address of the monitoring port, such as http://127.0.0.1:8222', HTTP),
  MILLRACE_REDIS_URL: url('an address such as redis://127.0.0.1:6379', ['redis:', 'rediss:']),
  MILLRACE_PREFECT_URL: url("the address of Prefect's API, such as http://127.0.0.1:4200/api", HTTP),
  MILLRACE_PREFECT_API_KEY: text,
  MILLRACE_PREFECT_EVENTS: text
    .transform((value) => value ?? 'socket')
    .refine((value) => ['socket', 'stream'].includes(value), {
      message: "expected socket (Prefect's event socket) or stream (its event bus, where that is prefect_nats)",
    }),
  MILLRACE_PREFECT_UI_URL: url("the address of Prefect's UI, such as http://127.0.0.1:4200", HTTP),
  MILLRACE_OTLP_URL: url('the base of an OTLP/HTTP receiver, such as http://127.0.0.1:4318', HTTP),
  MILLRACE_JAEGER_URL: url("the address of Jaeger's UI, such as http://127.0.0.1:16686", HTTP),
  MILLRACE_HTTP_PORT: port,
  MILLRACE_LOG_LEVEL: logLevel,
  MILLRACE_POOL: text
    .transform((value) => value ?? 'default')
    .refine(isToken, { message: 'expected letters, digits, "-" and "_"' }),
  MILLRACE_GROUP_COMMIT: groupCommitSetting,
});

/** Without what is undefined, as exact optional properties want it. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

/** Prefect's UI lives where its API does, without `/api`. */
function uiOf(prefectUrl: string | undefined): string | undefined {
  return prefectUrl?.replace(/\/+$/, '').replace(/\/api$/, '');
}

/**
 * The settings that the environment gives.
 * @throws MillraceError MR_CONFIG naming every variable that cannot be used
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Settings {
  const parsed = environment.safeParse(env);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    const names = [...new Set(parsed.error.issues.map((issue) => String(issue.path[0])))];
    throw new MillraceError('MR_CONFIG', `the environment cannot be used: ${problems.join('; ')}`, {
      hint: `set or unset ${names.join(', ')}; docs/protocol.md lists all variables`,
      place: { path: names[0] ?? '' },
    });
  }
  const e = parsed.data;
  const prefectUrl = e.MILLRACE_PREFECT_URL?.replace(/\/+$/, '');
  return {
    natsUrl: e.MILLRACE_NATS_URL,
    httpPort: e.MILLRACE_HTTP_PORT,
    logLevel: e.MILLRACE_LOG_LEVEL,
    pool: e.MILLRACE_POOL,
    groupCommit: e.MILLRACE_GROUP_COMMIT,
    prefectEvents: e.MILLRACE_PREFECT_EVENTS,
    ...defined({
      natsToken: e.MILLRACE_NATS_TOKEN,
      natsCreds: e.MILLRACE_NATS_CREDS,
      natsMonitorUrl: e.MILLRACE_NATS_MONITOR_URL?.replace(/\/+$/, ''),
      redisUrl: e.MILLRACE_REDIS_URL,
      prefectUrl,
      prefectApiKey: e.MILLRACE_PREFECT_API_KEY,
      prefectUiUrl: e.MILLRACE_PREFECT_UI_URL?.replace(/\/+$/, '') ?? uiOf(prefectUrl),
      otlpUrl: e.MILLRACE_OTLP_URL?.replace(/\/+$/, ''),
      jaegerUrl: e.MILLRACE_JAEGER_URL?.replace(/\/+$/, ''),
    }),
  } as Settings;
}
