/**
 * One, two and four processes that decide on runs, on the same server: the rate, and what one run costs. Where two cores cannot show a
 * rate that grows, the work can show that nothing would keep it from growing: a run must not cost more messages, bytes, requests or
 * syncs because others share the work.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { ServerHandle } from '../../ops/stack/index.ts';
import type { Sync } from '../systems/system.ts';
import { build } from './build.ts';
import { type Load, openLoad } from './load.ts';
import {
  diskFlushes,
  metricOf,
  type ProcessReading,
  readProcess,
  readServer,
  type ServerReading,
  textOf,
} from './reads.ts';
import { openRig, type Rig } from './rig.ts';
import { inputsOf, type Shape } from './shape.ts';

export interface LinearOptions {
  readonly dir: string;
  readonly shape: Shape;
  readonly sync: Sync;
  /** Numbers of driver processes, ascending. */
  readonly drivers: readonly number[];
  /** Runs counted for each. */
  readonly runs: number;
  progress(text: string): void;
  onAbort(stop: () => Promise<void>): void;
}

/** What one run costs, with so many drivers. */
export interface LinearRow {
  readonly drivers: number;
  readonly runsPerSecond: number;
  /** Stored in streams. */
  readonly messages: number;
  readonly bytes: number;
  /** Through the server, in and out: publishes, deliveries, acknowledgements, pulls, API calls. */
  readonly wireIn: number;
  readonly wireOut: number;
  readonly apiCalls: number;
  /** write() calls of the server process; what it stores and what it sends. */
  readonly writeCalls: number;
  /** Requests to flush a disk's cache, machine-wide: with `always` what each stored message or batch costs. */
  readonly flushes: number;
  readonly driverCpuMs: number;
  readonly workerCpuMs: number;
  readonly serverCpuMs: number;
  /** Appends that another driver was faster with, and look-ups of earlier inputs. */
  readonly conflicts: number;
  readonly lookups: number;
}

const AT_ONCE = 256;

export async function linear(options: LinearOptions): Promise<readonly LinearRow[]> {
  const { dir, shape, sync, drivers, runs, progress, onAbort } = options;
  const bin = await build();
  onAbort(bin.remove);
  const rig = await openRig({ dir, shape, sync, build: bin });
  onAbort(rig.close);
  try {
    const definition = shape.definition('chain');
    await rig.apply(definition);
    const worker = await rig.startWorker('worker');
    const load = openLoad(rig.door, shape, definition);
    const started: ServerHandle[] = [];
    const rows: LinearRow[] = [];
    for (const count of drivers) {
      while (started.length < count) started.push(await rig.startDriver(`driver-${started.length + 1}`));
      await load.runs(Math.max(200, Math.round(runs / 4)), AT_ONCE, { n: 1 });
      rows.push(await measure(rig, load, started, worker, { runs, ...inputsOf(definition) }));
      progress(`${count}: ${rows.at(-1)?.runsPerSecond.toFixed(0)} runs/s`);
    }
    load.close();
    return rows;
  } finally {
    await rig.close();
    await bin.remove();
  }
}

interface Reading {
  readonly server: ServerReading;
  readonly lastSeq: number;
  readonly nats: ProcessReading;
  readonly driverCpuMs: number;
  readonly workerCpuMs: number;
  readonly flushes: number;
  readonly conflicts: number;
  readonly lookups: number;
}

async function reading(rig: Rig, drivers: readonly ServerHandle[], worker: ServerHandle | undefined): Promise<Reading> {
  const texts = await Promise.all(drivers.map(({ url }) => textOf(`${url}/metrics`)));
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const metric = (name: string): number => sum(texts.map((text) => metricOf(text, name) ?? 0));
  let lastSeq = 0;
  for await (const { state } of rig.door.jsm.streams.list()) lastSeq += state.last_seq;
  return {
    server: await readServer(rig.monitor),
    lastSeq,
    nats: readProcess(rig.nats.pid),
    driverCpuMs: sum(drivers.map(({ pid }) => readProcess(pid).cpuMs)),
    workerCpuMs: worker === undefined ? 0 : readProcess(worker.pid).cpuMs,
    flushes: diskFlushes(),
    conflicts: metric('millrace_engine_conflicts_total'),
    lookups: metric('millrace_engine_lookups_total'),
  };
}

async function measure(
  rig: Rig,
  load: Load,
  drivers: readonly ServerHandle[],
  worker: ServerHandle | undefined,
  { runs, stream, consumer }: { readonly runs: number; readonly stream: string; readonly consumer: string },
): Promise<LinearRow> {
  const quiet = async (): Promise<void> => {
    for (;;) {
      const { num_pending, num_ack_pending } = await rig.door.jsm.consumers.info(stream, consumer);
      if (num_pending + num_ack_pending === 0) return;
      await pause(20);
    }
  };
  await quiet();
  const before = await reading(rig, drivers, worker);
  const seconds = await load.runs(runs, AT_ONCE, { n: 1 });
  await quiet();
  const after = await reading(rig, drivers, worker);
  const per = (of: (one: Reading) => number): number => (of(after) - of(before)) / runs;
  return {
    drivers: drivers.length,
    runsPerSecond: runs / seconds,
    messages: per(({ lastSeq }) => lastSeq),
    bytes: per(({ server }) => server.bytes),
    wireIn: per(({ server }) => server.inMessages),
    wireOut: per(({ server }) => server.outMessages),
    apiCalls: per(({ server }) => server.apiCalls),
    writeCalls: per(({ nats }) => nats.writeCalls),
    flushes: per(({ flushes }) => flushes),
    driverCpuMs: per(({ driverCpuMs }) => driverCpuMs),
    workerCpuMs: per(({ workerCpuMs }) => workerCpuMs),
    serverCpuMs: per(({ nats }) => nats.cpuMs),
    conflicts: per(({ conflicts }) => conflicts),
    lookups: per(({ lookups }) => lookups),
  };
}
