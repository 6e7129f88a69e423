/** The reconcile queue on a real Redis: its contract, and Q4, Q5: a Redis that goes away and comes back. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type ServerHandle, startRedis } from '../../ops/stack/index.ts';
import { bullQueue } from '../../src/bridge/index.ts';
import type { ReconcileKey, ReconcileQueue } from '../../src/engine/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { reconcileQueueContract } from '../contract/reconcile-queue.ts';

let dir: string;
let redis: ServerHandle;
let prefixes = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-queue-'));
  redis = await startRedis({ dir });
});

afterAll(async () => {
  await redis?.stop();
  await rm(dir, { recursive: true, force: true });
});

const open = async (): Promise<ReconcileQueue> =>
  bullQueue({ redisUrl: redis.url, telemetry: noTelemetry, prefix: `test-${prefixes++}` });

reconcileQueueContract('BullMQ', open);

const key = (runId: string): ReconcileKey => ({ workflow: 'report', runId, step: 'compute', attempt: 1 });

/** Asks until Redis takes the key: how long a client needs to notice is its own business. */
const enqueueWhenBack = (queue: ReconcileQueue, k: ReconcileKey): Promise<void> =>
  vi.waitFor(() => queue.enqueue(k), { timeout: 30_000, interval: 50 });

describe('Q4, Q5: Redis is killed', () => {
  test('an enqueue fails within seconds with what to do; consuming goes on when Redis is back, empty', async () => {
    const queue = await open();
    const seen: string[] = [];
    const waiting = new Map<string, () => void>();
    const handled = (runId: string) => new Promise<void>((resolve) => waiting.set(runId, resolve));
    const consumption = await queue.consume(
      async ({ runId }) => {
        seen.push(runId);
        waiting.get(runId)?.();
        return { kind: 'done' };
      },
      { concurrency: 2 },
    );
    const first = handled('before');
    await queue.enqueue(key('before'));
    await first;

    await redis.kill();
    const from = Date.now();
    await expect(queue.enqueue(key('meanwhile'))).rejects.toMatchObject({
      code: 'MR_REDIS_UNREACHABLE',
      next: 'retry',
      hint: 'start Redis, or check MILLRACE_REDIS_URL; the sweep finds what was not queued',
    });
    expect(Date.now() - from).toBeLessThan(4_000);

    await redis.restart();
    const after = handled('after');
    await enqueueWhenBack(queue, key('after'));
    await after;
    expect(seen).toEqual(['before', 'after']);
    await consumption.stop();
    await queue.close();
  });

  test('a queue opened while there is no Redis fails fast and works later', async () => {
    await redis.kill();
    const queue = await open();
    const from = Date.now();
    await expect(queue.enqueue(key('r1'))).rejects.toMatchObject({ code: 'MR_REDIS_UNREACHABLE' });
    expect(Date.now() - from).toBeLessThan(4_000);
    await redis.restart();
    const handled = new Promise<string>((resolve) => {
      void queue.consume(
        async ({ runId }) => {
          resolve(runId);
          return { kind: 'done' };
        },
        { concurrency: 1 },
      );
    });
    await enqueueWhenBack(queue, key('r2'));
    expect(['r1', 'r2']).toContain(await handled);
    await queue.close();
  });

  test('closing does not wait for a Redis that is not there', async () => {
    const queue = await open();
    const consumption = await queue.consume(async () => ({ kind: 'done' }), { concurrency: 1 });
    await redis.kill();
    const from = Date.now();
    await consumption.stop();
    await queue.close();
    expect(Date.now() - from).toBeLessThan(5_000);
    await redis.restart();
  });
});

test('two consumers share the keys, and none is handled by both', async () => {
  const prefix = `test-${prefixes++}`;
  const queues = [0, 1].map(() => bullQueue({ redisUrl: redis.url, telemetry: noTelemetry, prefix }));
  const seen: string[] = [];
  let done: () => void = () => undefined;
  const all = new Promise<void>((resolve) => (done = resolve));
  for (const queue of queues) {
    await queue.consume(
      async ({ runId }) => {
        seen.push(runId);
        if (seen.length === 40) done();
        return { kind: 'done' };
      },
      { concurrency: 4 },
    );
  }
  await Promise.all(Array.from({ length: 40 }, (_, i) => queues[i % 2]?.enqueue(key(`r${i}`))));
  await all;
  expect(new Set(seen).size).toBe(40);
  await Promise.all(queues.map((queue) => queue.close()));
});
