/**
 * BullMQ flows: a function of n steps is a flow of n jobs, each the only child of the next, so that the result of a step is
 * stored in Redis before the job of the next step may run. Client and worker live in this process and share nothing but Redis:
 * whoever starts a flow learns of its end from the queue's events, as a client elsewhere would.
 *
 * There is no waiting for a signal in a flow, so it is left out.
 */
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { FlowProducer, Queue, QueueEvents, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { requirePart } from '../../ops/provision/index.ts';
import { type ServerSpec, startOnFreePorts } from '../../ops/stack/server.ts';
import { redisSpec } from '../../ops/stack/servers.ts';
import type { StartSystem, Sync, System } from '../systems/system.ts';
import { chain, fan, type StepData } from './bullmq-flows.ts';

const QUEUE = 'bench';
/** Jobs that the worker has in hand. */
const CONCURRENCY = 128;
/** Events that Redis keeps for readers that are behind; BullMQ's own default. */
const EVENTS_KEPT = 10_000;

async function redisOf(sync: Sync, dir: string): Promise<ServerSpec> {
  const spec = await redisSpec({ dir });
  const appendfsync = sync === 'always' ? 'always' : 'everysec';
  return { ...spec, args: [...spec.args, '--appendonly', 'yes', '--appendfsync', appendfsync] };
}

/** Fsyncs were counted with strace: 6 for a run of 3 steps under `always`, less than 1 under `lazy`. */
const DURABILITY: Readonly<Record<Sync, string>> = {
  lazy: 'Redis append-only file, appendfsync everysec: a result is in the file when it counts, on the disk about a second later',
  always: 'Redis append-only file, appendfsync always: a result is on the disk before anybody hears of it',
};

/** Resolves the promises of whoever waits for the last job of a flow. */
class Ends {
  readonly #waiting = new Map<string, { resolve(value: unknown): void; reject(error: Error): void }>();

  constructor(events: QueueEvents) {
    events.on('completed', ({ jobId, returnvalue }) => this.#take(jobId)?.resolve(returnvalue));
    events.on('failed', ({ jobId, failedReason }) => this.#take(jobId)?.reject(new Error(failedReason)));
  }

  #take(jobId: string): { resolve(value: unknown): void; reject(error: Error): void } | undefined {
    const one = this.#waiting.get(jobId);
    this.#waiting.delete(jobId);
    return one;
  }

  /** The result of a job; to be called before the job is added, or its end may be missed. */
  of(jobId: string): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(jobId, { resolve, reject }));
  }
}

function numberIn(result: unknown): number {
  if (typeof result === 'object' && result !== null && 'value' in result && typeof result.value === 'number') {
    return result.value;
  }
  throw new Error(`a flow gave ${JSON.stringify(result)?.slice(0, 100)}`);
}

function versionOf(name: string): string {
  const found: { readonly version: string } = createRequire(import.meta.url)(`${name}/package.json`);
  return found.version;
}

export const start: StartSystem = async ({ sync, dir }) => {
  const redis = await startOnFreePorts(() => redisOf(sync, dir), false);
  const { version } = await requirePart('redis');
  const connect = (): Redis => new Redis(redis.url, { maxRetriesPerRequest: null });
  const connections: Redis[] = [];
  const connection = (): Redis => {
    const made = connect();
    connections.push(made);
    return made;
  };
  const worker = new Worker<StepData>(
    QUEUE,
    async ({ data }) => ({ value: data.value, payload: data.payload }),
    // Finished jobs are removed at once: the fastest setting. A parent keeps the results of its children.
    {
      connection: connection(),
      concurrency: CONCURRENCY,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 100 },
    },
  );
  worker.on('error', (error) => process.stderr.write(`bullmq worker: ${error.message}\n`));
  const queue = new Queue<StepData>(QUEUE, {
    connection: connection(),
    streams: { events: { maxLen: EVENTS_KEPT } },
  });
  const flows = new FlowProducer({ connection: connection() });
  const events = new QueueEvents(QUEUE, { connection: connection() });
  const ends = new Ends(events);
  await Promise.all([worker.waitUntilReady(), queue.waitUntilReady(), events.waitUntilReady()]);
  const system: System = {
    name: 'bullmq',
    version: `Redis ${version}, BullMQ ${versionOf('bullmq')}`,
    durability: DURABILITY[sync],
    serverPids: [redis.pid],
    async run(steps, payload) {
      const jobId = randomUUID();
      const end = ends.of(jobId);
      await flows.add(chain(QUEUE, jobId, steps, payload));
      return numberIn(await end);
    },
    async fanOut(width) {
      const jobId = randomUUID();
      const end = ends.of(jobId);
      await flows.add(fan(QUEUE, jobId, width));
      return numberIn(await end);
    },
    async sleep(ms) {
      const jobId = randomUUID();
      const end = ends.of(jobId);
      await queue.add('sleep', { value: 0, payload: '' }, { jobId, delay: ms });
      await end;
    },
    async stop() {
      await Promise.allSettled([worker.close(true), queue.close(), flows.close(), events.close()]);
      for (const one of connections) one.disconnect();
      await redis.stop();
    },
  };
  return system;
};
