/**
 * A task through the worker SDK, beside the least a worker can do by hand with the client library: consume, store the
 * same report (the attempt took no time), acknowledge. A task is over when its acknowledgement is on the wire, which both
 * send after the result is stored.
 */
import { AckPolicy, type ConsumerMessages } from '@nats-io/jetstream';
import { z } from 'zod';
import type { NatsDoor } from '../src/drivers/index.ts';
import { systemAssets, type TaskMessage, workflowAssets } from '../src/engine/index.ts';
import { inputSubject, STREAMS, taskSubject } from '../src/kernel/index.ts';
import { ensureAssets } from '../src/manifests/index.ts';
import { createWorker } from '../src/worker/index.ts';
import { amount, inTurn, PARTS, type ServerBenchmark, timed } from './benchmark.ts';
import { definition } from './engine.ts';
import { addUsed, type Probe, type Used } from './probe.ts';
import { type Figures, percentile } from './summary.ts';

const QUEUE = 'bench';
const SDK = 'bench.sdk';
const RAW = 'bench.raw';
const WORKFLOW = 'bench-worker';
const AT_ONCE = 64;
const SATURATED = 2_000;
const ALONE = 200;

/** By hand: what docs/protocol.md asks of a worker, without schemas, heartbeats, timeouts, cancels, drain. */
async function startRaw(door: NatsDoor): Promise<{ stop(): Promise<void> }> {
  const name = 'RAW';
  await door.jsm.consumers.add(STREAMS.tasks, {
    durable_name: name,
    filter_subject: taskSubject(QUEUE, RAW),
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: 10_000,
  });
  const consumer = await door.js.consumers.get(STREAMS.tasks, name);
  const messages: ConsumerMessages = await consumer.consume({ max_messages: AT_ONCE });
  const consuming = (async () => {
    for await (const msg of messages) {
      const { workflow, runId, step, attempt } = msg.json<TaskMessage>();
      const body = { v: 1, kind: 'task.succeeded', step, attempt, worker: 'raw', startedAt: Date.now(), output: 1 };
      const msgID = `result:${runId}:${step}:${attempt}`;
      void door.js.publish(inputSubject(workflow, runId), JSON.stringify(body), { msgID }).then(() => msg.ack());
    }
  })();
  return {
    async stop() {
      await messages.close();
      await consuming;
    },
  };
}

/** Tasks for one handler; one of them is over at each acknowledgement seen. */
function openTasks(door: NatsDoor): {
  run(handler: string, count: number, atOnce: number, times?: number[]): Promise<number>;
  close(): void;
} {
  const waiting: (() => void)[] = [];
  let number = 0;
  const acks = door.nc.subscribe(`$JS.ACK.${STREAMS.tasks}.>`, {
    callback: (_error, msg) => {
      if (msg.string() === '+ACK') waiting.shift()?.();
    },
  });
  const one = async (handler: string, times: number[] | undefined): Promise<void> => {
    const runId = `r${number++}`;
    const task: TaskMessage = {
      v: 1,
      workflow: WORKFLOW,
      runId,
      step: 's1',
      attempt: 1,
      handler,
      input: { n: 1 },
      idempotencyKey: `${runId}/s1`,
    };
    const begun = performance.now();
    // With several under way this is the end of one of them, not of this one: enough for a rate.
    const over = new Promise<void>((resolve) => waiting.push(resolve));
    const msgID = `task:${WORKFLOW}:${runId}:s1:1`;
    await door.js.publish(taskSubject(QUEUE, handler), JSON.stringify(task), { msgID });
    await over;
    times?.push(performance.now() - begun);
  };
  return {
    run: (handler, count, atOnce, times) => timed(count, atOnce, () => one(handler, times)),
    close: () => acks.unsubscribe(),
  };
}

async function round(door: NatsDoor, scale: number, probe: Probe): Promise<Figures> {
  for (const assets of [systemAssets(), workflowAssets(definition(WORKFLOW))]) await ensureAssets(door.nc, assets);
  const worker = createWorker({ nats: door, queue: QUEUE, handleSignals: false });
  worker.handle(SDK, { input: z.unknown(), output: z.number(), concurrency: AT_ONCE }, () => 1);
  await worker.start();
  const raw = await startRaw(door);
  const tasks = openTasks(door);
  try {
    for (const handler of [RAW, SDK]) await tasks.run(handler, 100, AT_ONCE);
    const many = amount(SATURATED, scale);
    const laps: { readonly raw: Used[]; readonly sdk: Used[] } = { raw: [], sdk: [] };
    const lap = async (kept: Used[], handler: string): Promise<number> => {
      const used = await probe.during(() => tasks.run(handler, many, AT_ONCE));
      kept.push(used);
      return used.seconds;
    };
    const [bare, sdk] = await inTurn(
      () => lap(laps.raw, RAW),
      () => lap(laps.sdk, SDK),
    );
    const [usedRaw, usedSdk] = [addUsed(laps.raw), addUsed(laps.sdk)];
    const few = amount(ALONE, scale);
    const [rawTimes, sdkTimes]: [number[], number[]] = [[], []];
    await inTurn(
      () => tasks.run(RAW, few, 1, rawTimes),
      () => tasks.run(SDK, few, 1, sdkTimes),
    );
    return {
      raw: (many * PARTS) / bare,
      sdk: (many * PARTS) / sdk,
      ratio: bare / sdk,
      rawCpuMs: usedRaw.cpuMs / (many * PARTS),
      sdkCpuMs: usedSdk.cpuMs / (many * PARTS),
      serverCpuMs: usedSdk.serverCpuMs / (many * PARTS),
      ...{ rssMb: usedSdk.rssMb, serverRssMb: usedSdk.serverRssMb },
      rawMs: percentile(rawTimes, 50),
      sdkMs: percentile(sdkTimes, 50),
      sdkP99Ms: percentile(sdkTimes, 99),
      aloneRatio: percentile(sdkTimes, 50) / percentile(rawTimes, 50),
    };
  } finally {
    tasks.close();
    await raw.stop();
    await worker.drain();
  }
}

export const workerBenchmark: ServerBenchmark = {
  name: 'worker',
  what: 'tasks through the worker SDK, beside consume, publish, ack by hand',
  kind: 'server',
  rows: [
    { key: 'raw', label: `by hand, tasks/s, ${AT_ONCE} in flight`, digits: 0 },
    { key: 'sdk', label: `worker SDK, tasks/s, ${AT_ONCE} in flight`, digits: 0 },
    { key: 'ratio', label: 'ratio of rates: SDK / by hand', digits: 2 },
    { key: 'rawCpuMs', label: 'by hand, processor ms per task, publisher and worker', digits: 3 },
    { key: 'sdkCpuMs', label: 'worker SDK, the same', digits: 3 },
    { key: 'serverCpuMs', label: 'processor ms per task, nats-server', digits: 3 },
    { key: 'rssMb', label: 'memory of publisher and worker, MB', digits: 0 },
    { key: 'serverRssMb', label: 'memory of nats-server, MB', digits: 0 },
    { key: 'rawMs', label: 'by hand, one at a time, p50 ms', digits: 2 },
    { key: 'sdkMs', label: 'worker SDK, one at a time, p50 ms', digits: 2 },
    { key: 'sdkP99Ms', label: 'worker SDK, one at a time, p99 ms', digits: 2 },
    { key: 'aloneRatio', label: 'ratio of times: SDK / by hand', digits: 2 },
  ],
  round,
};
