/**
 * The reconcile queue on Redis, shared by all controllers (BullMQ).
 *
 *   Q1 a key waits at most once; one asked for at once replaces one that waits for later;
 *   Q2 a key is never handled twice at once by live workers: one that is enqueued meanwhile is handled once more after;
 *   Q3 the outcome alone decides on another look (requeue.ts); BullMQ's own retries are off;
 *   Q4 while Redis is away an enqueue fails within seconds, and consuming goes on by itself when it is back;
 *   Q5 nothing of value is stored: a Redis that comes back empty costs time until the next sweep.
 */
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { ReconcileKey, ReconcileQueue } from '../../engine/index.ts';
import { MillraceError, messageOf } from '../../kernel/index.ts';
import type { Telemetry, TraceHeaders } from '../../telemetry/index.ts';
import { keyText } from '../key.ts';
import type { CheckedQueue } from './ports.ts';
import { type Handler, Requeue } from './requeue.ts';

export interface BullQueueOptions {
  readonly redisUrl: string;
  readonly telemetry: Telemetry;
  /** Namespace of the keys in Redis, for several installations on one server. */
  readonly prefix?: string;
  /** Ms an enqueue may take; 3,000 by default. */
  readonly timeoutMs?: number;
}

interface JobData {
  readonly key: ReconcileKey;
  readonly trace?: TraceHeaders;
}

interface ConnectionOptions {
  readonly enableOfflineQueue?: boolean;
  readonly commandTimeout?: number;
  readonly maxRetriesPerRequest: number | null;
}

type EnqueueOptions = Parameters<ReconcileQueue['enqueue']>[1];

const NAME = 'reconcile';
/** A controller that dies is noticed by its lock; another takes the job over. */
const LOCK_MS = 15_000;
const STALLED_MS = 7_500;

/** Opens the queue. Redis need not be there yet. */
export function bullQueue(options: BullQueueOptions): CheckedQueue {
  return new BullQueue(options);
}

const reconnect = (times: number): number => Math.min(2_000, 50 * times);

class BullQueue implements CheckedQueue {
  readonly #options: BullQueueOptions;
  readonly #requeue: Requeue;
  readonly #client: Redis;
  readonly #queue: Queue<JobData>;
  readonly #workers = new Set<Worker<JobData, number | undefined>>();
  readonly #readd = new Set<Promise<void>>();
  /** Once connected, a missing connection is known to be an outage; before, it may just be on its way. */
  #wasReady = false;

  constructor(options: BullQueueOptions) {
    this.#options = options;
    this.#requeue = new Requeue(options.telemetry);
    const timeout = options.timeoutMs ?? 3_000;
    // No offline queue: a command without a server fails now, instead of waiting for a server that may never come.
    this.#client = this.#connect({ enableOfflineQueue: false, commandTimeout: timeout, maxRetriesPerRequest: 1 });
    this.#client.once('ready', () => (this.#wasReady = true));
    this.#queue = new Queue<JobData>(NAME, {
      connection: this.#client,
      prefix: options.prefix ?? 'millrace',
      defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 1 },
    });
    this.#queue.on('error', (error) => this.#trouble('queue', error));
  }

  async enqueue(key: ReconcileKey, options: EnqueueOptions = {}): Promise<void> {
    const { delayMs = 0, trace } = options;
    const data: JobData = { key, ...(trace === undefined ? {} : { trace }) };
    const now = delayMs <= 0;
    const deduplication = { id: keyText(key), keepLastIfActive: true, ...(now ? { replace: true } : {}) };
    await this.#command(() => this.#queue.add(NAME, data, { deduplication, ...(now ? {} : { delay: delayMs }) }));
  }

  async ping(): Promise<void> {
    await this.#command(() => this.#client.ping());
  }

  async consume(handler: Handler, options: { readonly concurrency: number }) {
    // Blocking reads wait for the server to come back, so this connection is the other way round: it never gives up.
    const connection = this.#connect({ maxRetriesPerRequest: null });
    const worker = new Worker<JobData, number | undefined>(
      NAME,
      async (job) => this.#requeue.run(handler, job.data.key, job.data.trace),
      {
        connection,
        prefix: this.#options.prefix ?? 'millrace',
        concurrency: options.concurrency,
        lockDuration: LOCK_MS,
        stalledInterval: STALLED_MS,
        maxStalledCount: 1_000, // a job that was lost with its controller has done nothing wrong
        drainDelay: 2,
        removeOnComplete: { count: 0 },
        removeOnFail: { count: 0 },
      },
    );
    worker.on('error', (error) => this.#trouble('worker', error));
    // Only after the job has ended: added while it is active, a late look would replace one that was asked for at once.
    worker.on('completed', (job, delayMs) => this.#lookAgain(job.data, delayMs));
    this.#workers.add(worker);
    return { stop: () => this.#stop(worker, connection) };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => this.#end(worker)));
    await Promise.all(this.#readd);
    await settled(this.#queue.close(), 1_000);
    this.#client.disconnect();
  }

  async #stop(worker: Worker<JobData, number | undefined>, connection: Redis): Promise<void> {
    await this.#end(worker);
    connection.disconnect();
    await Promise.all(this.#readd);
  }

  /** Waits for the jobs under way; with Redis away nothing can be waited for. */
  async #end(worker: Worker<JobData, number | undefined>): Promise<void> {
    if (!this.#workers.delete(worker)) return;
    const forced = this.#client.status !== 'ready';
    await settled(worker.close(forced), forced ? 1_000 : 10_000);
  }

  #lookAgain({ key, trace }: JobData, delayMs: unknown): void {
    if (typeof delayMs !== 'number') return;
    const adding = this.enqueue(key, { delayMs, trace })
      .catch((error: unknown) => this.#trouble('requeue', error))
      .finally(() => this.#readd.delete(adding));
    this.#readd.add(adding);
  }

  #connect(options: ConnectionOptions): Redis {
    const redis = new Redis(this.#options.redisUrl, {
      connectionName: 'millrace-reconcile',
      connectTimeout: this.#options.timeoutMs ?? 3_000,
      retryStrategy: reconnect,
      keepAlive: 10_000,
      ...options,
    });
    redis.on('error', (error) => this.#trouble('connection', error));
    return redis;
  }

  #trouble(where: string, error: unknown): void {
    const { metrics, log } = this.#options.telemetry;
    metrics.count('millrace_reconcile_queue_errors_total', { where });
    log.debug({ where, error: messageOf(error) }, 'trouble with Redis');
  }

  /** Runs one command within the timeout: BullMQ first waits for a connection, which has no end without a server. */
  async #command<T>(command: () => Promise<T>): Promise<T> {
    const ms = this.#options.timeoutMs ?? 3_000;
    let timer: NodeJS.Timeout | undefined;
    try {
      if (this.#wasReady && this.#client.status !== 'ready') throw new Error('there is no connection');
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no answer in ${ms} ms`)), ms);
      });
      return await Promise.race([command(), late]);
    } catch (cause) {
      throw new MillraceError('MR_REDIS_UNREACHABLE', `Redis does not take a command: ${messageOf(cause)}`, {
        hint: 'start Redis, or check MILLRACE_REDIS_URL; the sweep finds what was not queued',
        cause,
      });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Waits, but not for ever, and not for the result. */
async function settled(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(() => undefined), patience]);
  clearTimeout(timer);
}
