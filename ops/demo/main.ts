/**
 * `make demo`: the whole product on real data, from nothing to a summary.
 *
 *   1. whatever is started is recorded first, so `make down` (or Ctrl-C here) finds it;
 *   2. a second demo uses what runs and publishes under message ids of its own;
 *   3. the end is when every run has ended, and the figures are read back from the streams.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { connectNats, type NatsDoor } from '../../src/drivers/index.ts';
import { createTelemetry } from '../../src/telemetry/index.ts';
import { messageOf, OpsError } from '../lib/errors.ts';
import { ROOT_DIR } from '../lib/paths.ts';
import { endedProcesses, type Stack, stopProcesses } from '../stack/index.ts';
import { envFile } from '../stack/state.ts';
import { bringUp, type Demo, newestChange } from './bring-up.node.ts';
import { collectAgreement, collectDeadLetters, collectLogs, collectTrace } from './collect.jetstream.ts';
import { readItems } from './data.node.ts';
import { type Driven, drive } from './drive.jetstream.ts';
import { createScreen, type Screen } from './screen.node.ts';
import { type Closing, summarize, summaryLines } from './summary.ts';

const DEADLINE_MS = 15 * 60_000;
/** Flows at once: one more than the host has processes, so that none is idle and the times tell of no heap. */
const AT_ONCE = availableParallelism() + 1;

/** What people type: a run folder of another name is named again. */
const NAMED = process.env['MILLRACE_RUN'] || undefined;
const MAKE = NAMED === undefined ? 'make' : `MILLRACE_RUN=${NAMED} make`;

class Interrupted extends Error {}

/** Aborts at Ctrl-C; the second one leaves at once. */
function interruption(screen: Screen): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(130);
      screen.say(`Stopping what this demo started; once more leaves at once (then \`${MAKE} down\` cleans up).`);
      controller.abort(new Interrupted());
    });
  }
  return controller.signal;
}

/** What this demo has started: what an interruption stops. */
interface Started {
  stack?: Stack;
  readonly processes: string[];
}

async function run(screen: Screen, signal: AbortSignal, started: Started): Promise<void> {
  const items = await readItems();
  const demo = await bringUp({
    say: (line) => screen.say(line),
    signal,
    onStack: (stack) => (started.stack = stack),
    onProcess: (name) => started.processes.push(name),
  });
  const { env } = demo;
  const telemetry = await createTelemetry({
    service: 'demo-feeder',
    otlpUrl: env['MILLRACE_OTLP_URL'],
    logLevel: 'silent',
  });
  const door = await connectNats({ url: env['MILLRACE_NATS_URL'] ?? '', name: 'millrace-demo' });
  try {
    screen.say('Runs');
    const driven = await drive({
      ...{ door, tracer: telemetry.tracer, screen, items, signal },
      salt: `demo-${Date.now().toString(36)}-${randomBytes(3).toString('hex')}`,
      atOnce: AT_ONCE,
      deadlineMs: DEADLINE_MS,
      trouble: () => trouble(demo),
    });
    await telemetry.tracer.flush();
    for (const line of await summary(door, demo, driven)) screen.say(line);
  } finally {
    await telemetry.close();
    await door.close();
  }
}

/** A process that has ended by itself: no run would end any more, so say it now. */
function trouble({ stack, processes }: Demo): string | undefined {
  const ended = endedProcesses(stack.dir).find(({ name }) => processes.some((ours) => ours.name === name));
  if (ended === undefined) return undefined;
  return `The process ${ended.name} has ended, which it should not. Its log is ${relative(ROOT_DIR, ended.logFile)}.`;
}

async function summary(door: NatsDoor, { stack, env }: Demo, driven: Driven): Promise<string[]> {
  const logs = await collectLogs(door, driven.runs);
  const summaries = summarize(logs);
  const failed = new Set(summaries.flatMap((one) => one.failed.map(({ runId }) => runId)));
  const prefectUrl = env['MILLRACE_PREFECT_URL'];
  const jaegerUrl = env['MILLRACE_JAEGER_URL'];
  // The run with the most to see: retries, a sleep, a flow, a signal.
  const example = driven.runs.find(({ workflow }) => workflow === 'quake-alert') ?? driven.runs[0];
  if (example === undefined) throw new OpsError('MR_COMMAND', 'No message has started a run.');
  const workflows = summaries.map(({ workflow }) => workflow);
  const closing: Closing = {
    published: driven.published,
    elapsedMs: driven.elapsedMs,
    deadLetters: await collectDeadLetters(door, failed),
    agreement: prefectUrl === undefined ? undefined : await collectAgreement(door, prefectUrl, workflows),
    prefectUi: prefectUrl?.replace(/\/api$/, ''),
    trace: jaegerUrl === undefined ? undefined : await collectTrace(jaegerUrl, example),
    cli: commandLine(),
    envFile: relative(ROOT_DIR, envFile(stack.dir)),
    exampleRun: example.runId,
    make: MAKE,
  };
  return ['', ...summaryLines(summaries, closing)];
}

/** The built command when it is newer than every source, else the sources themselves: both work when pasted. */
function commandLine(): string {
  const built = join(ROOT_DIR, 'dist', 'cli', 'main.js');
  const fresh = existsSync(built) && statSync(built).mtimeMs > newestChange(['src']);
  return fresh ? 'node dist/cli/main.js' : 'node --import tsx src/cli/main.ts';
}

/** Stops what this demo started: everything, or only its processes when servers were there before. */
async function cleanUp({ stack, processes }: Started): Promise<void> {
  if (stack === undefined) return;
  if (stack.reused.length === 0) await stack.down();
  else await stopProcesses(stack.dir, processes);
}

async function main(): Promise<number> {
  const screen = createScreen();
  const signal = interruption(screen);
  const started: Started = { processes: [] };
  try {
    await run(screen, signal, started);
    return 0;
  } catch (error) {
    if (signal.aborted) {
      await cleanUp(started);
      screen.say('Stopped. Runs that were open are in the streams and go on with the next `make demo`.');
      return 130;
    }
    screen.say(error instanceof OpsError ? error.message : `The demo failed: ${messageOf(error)}`);
    if (started.stack !== undefined) {
      const logs = relative(ROOT_DIR, join(started.stack.dir, 'processes'));
      screen.say(`Everything keeps running for you to look at: logs are in ${logs}/, \`${MAKE} down\` stops it.`);
    }
    return 1;
  }
}

process.exitCode = await main();
