/** The log: JSON lines on stderr; plain lines for people when stderr is a terminal. */
import pino, { type DestinationStream, type Logger as Pino } from 'pino';
import type { Logger } from './port.ts';

export interface LogOptions {
  readonly service: string;
  /** One of pino's levels. */
  readonly level: string;
  /** Where the lines go; stderr by default. */
  readonly destination?: DestinationStream;
  /** Plain lines instead of JSON; by default when stderr is a terminal. */
  readonly plain?: boolean;
}

const LEVEL_NAMES: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info ',
  40: 'WARN ',
  50: 'ERROR',
  60: 'FATAL',
};
const OWN_FIELDS = new Set(['level', 'time', 'msg', 'service', 'pid']);

/** One JSON line of pino's as a line for people. */
export function plainLine(json: string): string {
  const fields = JSON.parse(json) as Record<string, unknown>;
  const time = new Date(String(fields['time'])).toISOString().slice(11, 23);
  const rest = Object.entries(fields)
    .filter(([name]) => !OWN_FIELDS.has(name))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const level = LEVEL_NAMES[Number(fields['level'])] ?? String(fields['level']);
  return `${[time, level, String(fields['msg']), ...rest].join(' ')}\n`;
}

function wrap(inner: Pino): Logger {
  return {
    debug: (fields, message) => inner.debug(fields, message),
    info: (fields, message) => inner.info(fields, message),
    warn: (fields, message) => inner.warn(fields, message),
    error: (fields, message) => inner.error(fields, message),
    child: (fields) => wrap(inner.child(fields)),
  };
}

/** The process's logger. An `error` or `err` field that holds an Error is written with its code, hint and stack. */
export function pinoLogger(options: LogOptions): Logger {
  const target = options.destination ?? pino.destination({ fd: 2, sync: true });
  const plain = options.plain ?? (options.destination === undefined && process.stderr.isTTY === true);
  const stream = plain ? { write: (line: string) => void target.write(plainLine(line)) } : target;
  const error = (value: unknown): unknown => (value instanceof Error ? pino.stdSerializers.err(value) : value);
  const inner = pino(
    {
      level: options.level,
      base: { service: options.service, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { error, err: error },
    },
    stream,
  );
  return wrap(inner);
}
