/**
 * The engine on a real server, beside the floor it stands on: the bare publishes that a run of the same shape cannot do
 * without, run in the same minute on the same server.
 */

import { z } from 'zod';
import type { NatsDoor } from '../src/drivers/index.ts';
import { type Definition, openJournal, startController, systemAssets, workflowAssets } from '../src/engine/index.ts';
import { runEventSubject } from '../src/kernel/index.ts';
import { ensureAssets, openDefinitions, sealDefinition } from '../src/manifests/index.ts';
import { noTelemetry } from '../src/telemetry/index.ts';
import { createWorker } from '../src/worker/index.ts';

export const STEPS = 3;
const QUEUE = 'bench';
const RETRY = { initialMs: 100, factor: 2, maxMs: 1_000, jitter: 0, maxAttempts: 3, maxLost: 3 } as const;

/** Messages stored for one run of three steps: counted on the server by {@link messagesPerRun}, not assumed. */
function definition(name: string): Definition {
  const steps = Array.from({ length: STEPS }, (_, i) => ({
    name: `s${i + 1}`,
    needs: i === 0 ? [] : [`s${i}`],
    action: { kind: 'worker' as const, handler: 'bench.step', queue: QUEUE },
    retry: RETRY,
  }));
  return sealDefinition({ name, deadLetter: false, triggers: [], steps });
}

export interface Bench {
  readonly workflow: string;
  /** Starts `count` runs, `atOnce` of them open at any time; gives each run's time in ms. */
  runs(count: number, atOnce: number): Promise<number[]>;
  /** Messages that one run stores, over all streams. */
  messagesPerRun(): Promise<number>;
  stop(): Promise<void>;
}

/** One controller and one worker in this process, on the given server. */
export async function openBench(door: NatsDoor): Promise<Bench> {
  const workflow = 'bench';
  const wanted = definition(workflow);
  for (const assets of [systemAssets(), workflowAssets(wanted)]) await ensureAssets(door.nc, assets);
  const definitions = await openDefinitions(door.nc);
  await definitions.put(wanted);
  const controller = await startController({ door, definitions, telemetry: noTelemetry });
  const worker = createWorker({ nats: door, queue: QUEUE, handleSignals: false });
  worker.handle('bench.step', { input: z.unknown(), output: z.number(), concurrency: 256 }, () => 1);
  await worker.start();
  const journal = openJournal(door);
  const open = new Map<string, () => void>();
  const ended = door.nc.subscribe(runEventSubject(workflow, 'x', 'completed').replace('.x.', '.*.'), {
    callback: (_error, msg) => open.get(msg.subject.split('.')[3] ?? '')?.(),
  });
  let number = 0;
  const one = async (): Promise<number> => {
    const runId = `r${Date.now().toString(36)}${(number++).toString(36)}`;
    const begun = performance.now();
    const done = new Promise<void>((resolve) => open.set(runId, resolve));
    await journal.send(
      { workflow, runId },
      { v: 1, kind: 'start', digest: wanted.digest, payload: { n: number } },
      { msgId: `start:${runId}` },
    );
    await done;
    open.delete(runId);
    return performance.now() - begun;
  };
  const runs = async (count: number, atOnce: number): Promise<number[]> => {
    const times: number[] = [];
    let left = count;
    const lane = async (): Promise<void> => {
      while (left-- > 0) times.push(await one());
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane));
    return times;
  };
  return {
    workflow,
    runs,
    async messagesPerRun() {
      const before = await stored(door);
      await runs(20, 1);
      return ((await stored(door)) - before) / 20;
    },
    async stop() {
      ended.unsubscribe();
      await worker.drain();
      await controller.stop();
      journal.close();
    },
  };
}

/** Messages ever stored in the server's streams. */
async function stored(door: NatsDoor): Promise<number> {
  let sum = 0;
  for await (const stream of door.jsm.streams.list()) sum += stream.state.last_seq;
  return sum;
}
