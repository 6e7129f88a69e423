/**
 * The engine on a real server, beside the floor it stands on: the bare publishes that a run of the same shape cannot do
 * without, run in the same minute on the same server.
 */

import { z } from 'zod';
import type { NatsDoor } from '../src/drivers/index.ts';
import { type Definition, openJournal, startController, systemAssets, workflowAssets } from '../src/engine/index.ts';
import { ensureAssets, openDefinitions } from '../src/manifests/index.ts';
import { noTelemetry } from '../src/telemetry/index.ts';
import { createWorker } from '../src/worker/index.ts';
import { amount, inTurn, PARTS, type ServerBenchmark } from './benchmark.ts';
import { floor, prepareFloor } from './floor.ts';
import { chain, messagesPerRun, openLoad, QUEUE } from './load.ts';
import { addUsed, type Probe, type Used } from './probe.ts';
import { type Figures, percentile } from './summary.ts';

export const STEPS = 3;
const WORKFLOW = 'bench';
const AT_ONCE = 256;
const SATURATED = 768;
const ALONE = 60;

/** A chain of {@link STEPS} worker steps. */
export const definition = (name: string): Definition => chain(name, STEPS);

interface Bench {
  /** Starts `count` runs, `atOnce` of them open at any time; gives the seconds, and each run's ms to `times`. */
  runs(count: number, atOnce: number, times?: number[]): Promise<number>;
  /** Messages that one run stores, over all streams. */
  messagesPerRun(): Promise<number>;
  stop(): Promise<void>;
}

/** One controller and one worker in this process, on the given server. */
async function openBench(door: NatsDoor): Promise<Bench> {
  const workflow = WORKFLOW;
  const wanted = definition(workflow);
  for (const assets of [systemAssets(), workflowAssets(wanted)]) await ensureAssets(door.nc, assets);
  const definitions = await openDefinitions(door.nc);
  await definitions.put(wanted);
  const controller = await startController({ door, definitions, telemetry: noTelemetry });
  const worker = createWorker({ nats: door, queue: QUEUE, handleSignals: false });
  worker.handle('bench.step', { input: z.unknown(), output: z.number(), concurrency: 256 }, () => 1);
  await worker.start();
  const journal = openJournal(door);
  const load = openLoad(door, wanted, journal);
  return {
    runs: load.runs,
    messagesPerRun: () => messagesPerRun(door, workflow, load),
    async stop() {
      load.close();
      await worker.drain();
      await controller.stop();
      journal.close();
    },
  };
}

async function round(door: NatsDoor, scale: number, probe: Probe): Promise<Figures> {
  await prepareFloor(door);
  const bench = await openBench(door);
  try {
    await bench.runs(50, 10); // warm: compiled code, open streams
    await floor(door, 500, AT_ONCE);
    const messages = await bench.messagesPerRun();
    const many = amount(SATURATED, scale);
    const publishes = Math.round(many * messages);
    const openTimes: number[] = [];
    const laps: Used[] = [];
    const [bare, full] = await inTurn(
      () => floor(door, publishes, AT_ONCE),
      async () => {
        const lap = await probe.during(() => bench.runs(many, AT_ONCE, openTimes));
        laps.push(lap);
        return lap.seconds;
      },
    );
    const used = addUsed(laps);
    const few = amount(ALONE, scale);
    const times: number[] = [];
    const [bareAlone] = await inTurn(
      () => floor(door, Math.round(few * messages), 1),
      () => bench.runs(few, 1, times),
    );
    const publishMs = (bareAlone / (Math.round(few * messages) * PARTS)) * 1_000;
    return {
      messages,
      floorRate: (publishes * PARTS) / bare,
      rate: (many * PARTS) / full,
      ratio: bare / full,
      openP50Ms: percentile(openTimes, 50),
      openP99Ms: percentile(openTimes, 99),
      cpuMs: used.cpuMs / (many * PARTS),
      serverCpuMs: used.serverCpuMs / (many * PARTS),
      ...{ rssMb: used.rssMb, serverRssMb: used.serverRssMb },
      publishMs,
      p50Ms: percentile(times, 50),
      p99Ms: percentile(times, 99),
      publishes: percentile(times, 50) / publishMs,
    };
  } finally {
    await bench.stop();
  }
}

export const engineBenchmark: ServerBenchmark = {
  name: 'engine',
  what: `runs of ${STEPS} worker steps, beside as many bare publishes as such a run stores`,
  kind: 'server',
  rows: [
    { key: 'messages', label: 'messages stored per run', digits: 1 },
    { key: 'floorRate', label: `floor: publishes/s, ${AT_ONCE} in flight`, digits: 0 },
    { key: 'rate', label: `runs/s, ${AT_ONCE} open`, digits: 0 },
    { key: 'ratio', label: 'ratio of rates: runs / their publishes', digits: 2 },
    { key: 'openP50Ms', label: `a run among ${AT_ONCE} open, p50 ms`, digits: 0 },
    { key: 'openP99Ms', label: `a run among ${AT_ONCE} open, p99 ms`, digits: 0 },
    { key: 'cpuMs', label: "processor time of Millrace's process per run, ms", digits: 2 },
    { key: 'serverCpuMs', label: 'processor time of nats-server per run, ms', digits: 2 },
    { key: 'rssMb', label: "memory of Millrace's process, MB", digits: 0 },
    { key: 'serverRssMb', label: 'memory of nats-server, MB', digits: 0 },
    { key: 'publishMs', label: 'floor: one publish, ms', digits: 2 },
    { key: 'p50Ms', label: 'one run at a time, p50 ms', digits: 1 },
    { key: 'p99Ms', label: 'one run at a time, p99 ms', digits: 1 },
    { key: 'publishes', label: 'a run takes as long as so many publishes', digits: 1 },
  ],
  round,
};
