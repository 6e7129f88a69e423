/** A declared workflow under load: the controller and the load in this process, the worker in one of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { NatsDoor } from '../src/drivers/index.ts';
import { openJournal, startController, systemAssets, workflowAssets } from '../src/engine/index.ts';
import { allInputs, inputSubject, workflowStream } from '../src/kernel/index.ts';
import { ensureAssets, openDefinitions } from '../src/manifests/index.ts';
import { noTelemetry, type Telemetry } from '../src/telemetry/index.ts';
import { chain, messagesPerRun, openLoad, QUEUE } from './load.ts';

const WORKER = fileURLToPath(new URL('./declared-worker.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');

export interface DeclaredOptions {
  readonly door: NatsDoor;
  readonly workflow: string;
  readonly steps: number;
  /** The controller's telemetry, and where the worker sends its spans; without a place the worker has all but tracing. */
  readonly tracing?: { readonly telemetry: Telemetry; readonly otlpUrl: string | undefined };
}

export interface DeclaredSystem {
  /** Starts `count` runs, `atOnce` of them open at any time; gives the seconds, and each run's ms to `times`. */
  runs(count: number, atOnce: number, times?: number[]): Promise<number>;
  /** Ms from each step's result to that of the next one, of as many runs one after another, by the server's clock. */
  stepTimes(count: number): Promise<readonly number[]>;
  /** Messages that one run stores, over all streams. */
  messagesPerRun(): Promise<number>;
  /** Processor time of the worker so far, in ms. */
  workerCpuMs(): Promise<number>;
  stop(): Promise<void>;
}

export async function openDeclared(options: DeclaredOptions): Promise<DeclaredSystem> {
  const { door, workflow, steps, tracing } = options;
  const wanted = chain(workflow, steps);
  for (const assets of [systemAssets(), workflowAssets(wanted)]) await ensureAssets(door.nc, assets);
  const definitions = await openDefinitions(door.nc);
  await definitions.put(wanted);
  const controller = await startController({ door, definitions, telemetry: tracing?.telemetry ?? noTelemetry });
  const worker = await startWorker(door.url, tracing);
  const journal = openJournal(door);
  const load = openLoad(door, wanted, journal);
  return {
    runs: load.runs,
    stepTimes: (count) => stepTimes(door, workflow, () => load.runs(count, 1)),
    messagesPerRun: () => messagesPerRun(door, workflow, load),
    async workerCpuMs() {
      const answer = once(worker, 'message');
      worker.send('usage');
      const [usage] = (await answer) as [{ cpuMs: number }];
      return usage.cpuMs;
    },
    async stop() {
      load.close();
      await stopWorker(worker);
      await controller.stop();
      journal.close();
    },
  };
}

async function startWorker(url: string, tracing: DeclaredOptions['tracing']): Promise<ChildProcess> {
  const args = [url, QUEUE, ...(tracing === undefined ? [] : [tracing.otlpUrl ?? 'untraced'])];
  const child = fork(WORKER, args, { execArgv: ['--import', TSX], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const [first] = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => ['ended'])]);
  if (first !== 'ready') throw new Error('the worker did not start');
  return child;
}

async function stopWorker(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.disconnect();
  await ended;
}

/** Results are inputs, and the server has noted when it stored each. */
async function stepTimes(door: NatsDoor, workflow: string, runs: () => Promise<unknown>): Promise<readonly number[]> {
  const stream = workflowStream(workflow);
  const { state } = await door.jsm.streams.info(stream);
  await runs();
  const last = new Map<string, bigint>();
  const times: number[] = [];
  const consumer = await door.js.consumers.get(stream, {
    filter_subjects: [allInputs(workflow)],
    opt_start_seq: state.last_seq + 1,
  });
  const { num_pending: pending } = await consumer.info();
  const messages = await consumer.consume();
  let left = pending;
  for await (const msg of messages) {
    const { kind } = msg.json<{ kind: string }>();
    if (kind === 'task.succeeded') {
      const run = msg.subject.slice(inputSubject(workflow, 'x').length - 1);
      const before = last.get(run);
      if (before !== undefined) times.push(Number(msg.timestampNanos - before) / 1e6);
      last.set(run, msg.timestampNanos);
    }
    if (--left <= 0) break;
  }
  messages.stop();
  return times;
}
