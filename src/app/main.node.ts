/** The process `millrace`: arguments and environment in, exit code out. Everything it opens is closed here. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import {
  createOutput,
  createProgram,
  EXIT,
  type ExitCode,
  errorData,
  errorText,
  exitCodeOf,
  type Output,
  runProgram,
  type Settings,
} from '../cli/index.ts';
import { contextFromHeaders, type TraceHeaders } from '../telemetry/index.ts';
import { loadConfig } from './config.ts';
import { createContext } from './context.ts';

/** The arguments that count wherever they stand, read before parsing so that errors of parsing obey them too. */
function early(argv: readonly string[]): { readonly json: boolean; readonly color: boolean } {
  const end = argv.indexOf('--');
  const options = end === -1 ? argv : argv.slice(0, end);
  return { json: options.includes('--json'), color: !options.includes('--no-color') };
}

function packageVersion(): string {
  const url = new URL('../../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(url, 'utf8')) as { version: string };
  return version;
}

function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      controller.abort(new Error(name));
      process.once(name, () => process.exit(name === 'SIGINT' ? 130 : 143)); // the second one means now
    });
  }
  return controller.signal;
}

function settingsFrom(options: Record<string, unknown>): Settings {
  const override = (name: string, value: unknown): Record<string, string> =>
    typeof value === 'string' ? { [name]: value } : {};
  return loadConfig({
    ...process.env,
    ...override('MILLRACE_NATS_URL', options['natsUrl']),
    ...override('MILLRACE_NATS_TOKEN', options['token']),
  });
}

/** The account's name; some containers run under a number without one. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

/** CI systems and wrappers hand their trace on in the environment, named as the W3C headers are. */
function callersTrace(): TraceHeaders | undefined {
  const { TRACEPARENT: traceparent, TRACESTATE: tracestate } = process.env;
  return contextFromHeaders({
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tracestate === undefined ? {} : { tracestate }),
  });
}

/** Runs one command line and gives the exit code. */
export async function main(argv: readonly string[]): Promise<ExitCode> {
  const { json, color } = early(argv);
  const wanted = color && (process.env['NO_COLOR'] ?? '') === '';
  const out: Output = createOutput({ stdout: process.stdout, stderr: process.stderr, color: wanted, json });
  // A reader that went away (`| head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  let code: ExitCode = EXIT.ok;
  let options: Record<string, unknown> = {};
  const trace = callersTrace();
  const version = packageVersion();
  const { ctx, close } = createContext({
    out,
    signal: interruption(),
    settings: () => settingsFrom(options),
    exit: (next) => void (code = next),
    now: () => Date.now(),
    newId: () => randomUUID(),
    version,
    by: userName(),
    ...(trace === undefined ? {} : { trace }),
  });
  const program = createProgram(ctx, version, {
    out: (text) => void process.stdout.write(text),
    err: (text) => void (json || process.stderr.write(`${text}\n`)),
  });
  program.hook('preAction', () => void (options = program.opts()));
  try {
    await runProgram(program, argv);
  } catch (error) {
    code = exitCodeOf(error);
    const debug = process.env['MILLRACE_LOG_LEVEL'] === 'debug';
    const text = json ? JSON.stringify(errorData(error), null, 2) : errorText(error, out.c, debug);
    process.stderr.write(`${text}\n`);
  } finally {
    await close();
  }
  return code;
}
