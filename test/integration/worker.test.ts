/** The worker on a real server: durable consumers, results before acknowledgements, cancel, restarts, drain. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { headers } from 'nats';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { type ServerHandle, startNats } from '../../ops/stack/index.ts';
import { connectNats, type NatsDoor } from '../../src/drivers/index.ts';
import { type InputBody, inputBodySchema, systemAssets, type TaskMessage } from '../../src/engine/index.ts';
import { cancelSubject, inputSubject, STREAMS, taskConsumer, taskSubject } from '../../src/kernel/index.ts';
import { ensureAssets } from '../../src/manifests/index.ts';
import { createWorker, NonRetryableError, type Worker, type WorkerOptions } from '../../src/worker/index.ts';
import { Collector, waitFor } from '../kit/index.ts';

const WORKFLOW = 'probe';
let dir: string;
let nats: ServerHandle;
let door: NatsDoor;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-worker-'));
  nats = await startNats({ dir });
  door = await connectNats({ url: nats.url, name: 'worker-test' });
  await ensureAssets(door.nc, systemAssets());
  await door.jsm.streams.add({ name: `WF_${WORKFLOW}`, subjects: [`wf.${WORKFLOW}.>`] });
});

afterAll(async () => {
  await door?.close();
  await nats?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Each test has a handler name and a run of its own, so that none sees another's messages. */
let counter = 0;
const fresh = (): { readonly handler: string; readonly runId: string } => {
  counter++;
  return { handler: `probe.h${counter}`, runId: `run${counter}` };
};

function make(options: Partial<WorkerOptions> = {}): Worker {
  const worker = createWorker({ nats: nats.url, name: 'w1', handleSignals: false, drainMs: 2_000, ...options });
  onTestFinished(() => worker.drain());
  return worker;
}

async function publishTask(handler: string, runId: string, change: Partial<TaskMessage> = {}): Promise<void> {
  const task: TaskMessage = {
    v: 1,
    workflow: WORKFLOW,
    runId,
    step: 's',
    attempt: 1,
    handler,
    input: { n: 1 },
    idempotencyKey: `${runId}/s`,
    ...change,
  };
  const hdrs = headers();
  hdrs.set('traceparent', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`);
  const msgID = `task:${runId}:${task.step}:${task.attempt}`;
  await door.js.publish(taskSubject('default', handler), JSON.stringify(task), { msgID, headers: hdrs });
}

interface Report {
  readonly id: string;
  readonly body: InputBody;
}

/** The first `count` inputs of the run, as they come. */
const reports = (runId: string, count: number): Promise<readonly Report[]> => read(runId, count, () => true);

/** The first `count` results of the run; whether a start was told as well depends on how long the attempt took. */
const results = (runId: string, count: number): Promise<readonly Report[]> =>
  read(runId, count, ({ body }) => body.kind !== 'task.started');

async function read(runId: string, count: number, counts: (report: Report) => boolean): Promise<readonly Report[]> {
  const consumer = await door.js.consumers.get(`WF_${WORKFLOW}`, { filter_subjects: inputSubject(WORKFLOW, runId) });
  const found: Report[] = [];
  for await (const msg of await consumer.consume()) {
    const report = { id: msg.headers?.get('Nats-Msg-Id') ?? '', body: inputBodySchema.parse(msg.json()) };
    if (counts(report)) found.push(report);
    if (found.length >= count) break;
  }
  return found;
}

/** Resolves when all tasks of the handler are acknowledged. */
const allAcknowledged = (handler: string): Promise<true> =>
  waitFor(`the tasks of ${handler} to be acknowledged`, async () => {
    const info = await door.jsm.consumers.info(STREAMS.tasks, taskConsumer('default', handler));
    return info.num_pending === 0 && info.num_ack_pending === 0;
  });

const numbers = { input: z.object({ n: z.number() }), output: z.object({ doubled: z.number() }) };
const doubled = ({ n }: { n: number }) => ({ doubled: n * 2 });

describe('a worker', () => {
  it('given a short task: one report under its id, the task is gone', async () => {
    const { handler, runId } = fresh();
    const worker = make().handle(handler, numbers, doubled);
    await worker.start();
    await publishTask(handler, runId, { input: { n: 4 } });
    expect(await reports(runId, 1)).toEqual([
      {
        id: `result:${runId}:s:1`,
        body: {
          v: 1,
          kind: 'task.succeeded',
          step: 's',
          attempt: 1,
          worker: 'w1',
          startedAt: expect.any(Number),
          output: { doubled: 8 },
        },
      },
    ]);
    await allAcknowledged(handler);
  });

  it('given a task that takes long: its start is stored while it runs, then the result', async () => {
    const { handler, runId } = fresh();
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    await make()
      .handle(handler, numbers, ({ n }) => gate.then(() => doubled({ n })))
      .start();
    await publishTask(handler, runId, { input: { n: 4 } });
    expect(await reports(runId, 1)).toEqual([
      { id: `started:${runId}:s:1`, body: { v: 1, kind: 'task.started', step: 's', attempt: 1, worker: 'w1' } },
    ]);
    release();
    expect((await reports(runId, 2)).at(-1)).toMatchObject({ id: `result:${runId}:s:1`, body: { worker: 'w1' } });
  });

  it('given tasks before it starts: they wait for it in the stream', async () => {
    const { handler, runId } = fresh();
    await publishTask(handler, runId);
    await make().handle(handler, numbers, doubled).start();
    expect((await reports(runId, 1)).map(({ body }) => body.kind)).toEqual(['task.succeeded']);
  });

  it('given a handler that fails: retryable and not, as thrown', async () => {
    const { handler, runId } = fresh();
    const worker = make().handle(handler, { ...numbers, output: z.never() }, ({ n }) => {
      throw n === 1 ? new Error('again') : new NonRetryableError('never');
    });
    await worker.start();
    await publishTask(handler, runId, { step: 'a', input: { n: 1 } });
    await publishTask(handler, runId, { step: 'b', input: { n: 2 } });
    const failures = (await reports(runId, 2)).flatMap(({ body }) => (body.kind === 'task.failed' ? [body] : []));
    const byStep = failures.map(({ step, error }) => [step, error.message, error.retryable]).sort();
    expect(byStep).toEqual([
      ['a', 'again', true],
      ['b', 'never', false],
    ]);
  });

  it('given an output beyond what the server takes: a failure that says so', async () => {
    const { handler, runId } = fresh();
    const worker = make().handle(handler, { ...numbers, output: z.string() }, () => 'x'.repeat(2_000_000));
    await worker.start();
    await publishTask(handler, runId);
    const last = (await reports(runId, 1)).at(-1)?.body;
    expect(last).toMatchObject({ kind: 'task.failed', error: { code: 'MR_PAYLOAD_TOO_LARGE', retryable: false } });
  });

  it('given a message that is no task: a dead letter, and off the queue', async () => {
    const { handler } = fresh();
    await make().handle(handler, numbers, doubled).start();
    const { seq } = await door.js.publish(taskSubject('default', handler), 'hello');
    const letters = await door.js.consumers.get(STREAMS.dead, { filter_subjects: `dead.task.unknown.MR_TASKS-${seq}` });
    const letter = await letters.next({ expires: 10_000 });
    expect([letter?.string(), letter?.headers?.get('Millrace-Code')]).toEqual(['hello', 'MR_NOT_JSON']);
    expect(letter?.headers?.get('Millrace-Origin-Subject')).toBe(taskSubject('default', handler));
    await allAcknowledged(handler);
  });

  it("given a cancel: the attempt's signal aborts", async () => {
    const { handler, runId } = fresh();
    const worker = make().handle(
      handler,
      numbers,
      (_, ctx) =>
        new Promise((_resolve, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason))),
    );
    await worker.start();
    await publishTask(handler, runId);
    await reports(runId, 1);
    const cancel = { v: 1, workflow: WORKFLOW, runId, step: 's', attempt: 1, reason: 'enough' };
    door.nc.publish(cancelSubject(WORKFLOW, runId), JSON.stringify(cancel));
    expect((await reports(runId, 2)).at(-1)?.body).toMatchObject({
      kind: 'task.failed',
      error: { code: 'MR_CANCELLED', message: 'enough' },
    });
  });

  it('given more tasks than its concurrency: never more at once, and all are done', async () => {
    const { handler, runId } = fresh();
    let now = 0;
    let most = 0;
    const worker = make().handle(handler, { ...numbers, concurrency: 3 }, async ({ n }) => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setImmediate(resolve));
      now--;
      return { doubled: n };
    });
    await worker.start();
    await Promise.all(Array.from({ length: 200 }, (_, i) => publishTask(handler, runId, { step: `s${i}` })));
    await reports(runId, 200);
    await allAcknowledged(handler);
    expect(most).toBe(3);
  });

  it('given a handler slower than the ack wait: kept alive, run once', async () => {
    const { handler, runId } = fresh();
    let runs = 0;
    const signs = new Collector<string>();
    const watch = door.nc.subscribe('$JS.ACK.>', {
      callback: (_error, msg) => {
        if (msg.subject.includes(`.${taskConsumer('default', handler)}.`)) signs.add(msg.string());
      },
    });
    onTestFinished(() => watch.unsubscribe());
    const worker = make().handle(handler, { ...numbers, ackWaitMs: 300 }, async ({ n }) => {
      runs++;
      // Three signs of life to an ack wait: twelve are four ack waits.
      await signs.until('12 signs of life', (seen) => seen.filter((sign) => sign === '+WPI').length >= 12);
      return { doubled: n };
    });
    await worker.start();
    await publishTask(handler, runId);
    expect((await results(runId, 1)).at(-1)?.body.kind).toBe('task.succeeded');
    await allAcknowledged(handler);
    expect(runs).toBe(1);
  });

  it('given a worker that goes away without a word: another one gets the task after the ack wait', async () => {
    const { handler, runId } = fresh();
    const options = { ...numbers, ackWaitMs: 500 };
    // A pull by hand stands for the process that died: it took the task and says nothing more.
    await make({ name: 'first' })
      .handle(handler, options, doubled)
      .start()
      .then(() => undefined);
    const lost = await connectNats({ url: nats.url, name: 'lost' });
    onTestFinished(() => lost.close());
    const other = fresh();
    const stuck = createWorker({ nats: lost, name: 'stuck', handleSignals: false });
    stuck.handle(other.handler, options, () => new Promise(() => undefined));
    await stuck.start();
    await publishTask(other.handler, other.runId);
    await reports(other.runId, 1);
    await lost.nc.close(); // its heartbeats go nowhere now
    await make({ name: 'second' }).handle(other.handler, options, doubled).start();
    const bodies = (await reports(other.runId, 2)).map(({ body }) => body);
    expect(bodies[0]).toMatchObject({ kind: 'task.started', worker: 'stuck' });
    expect(bodies[1]).toMatchObject({ kind: 'task.succeeded' });
    expect(runId).not.toBe(other.runId);
  });

  it('given a drain: what runs is finished and reported, the next task waits for another worker', async () => {
    const { handler, runId } = fresh();
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    let begun: () => void = () => undefined;
    const running = new Promise<void>((resolve) => (begun = resolve));
    const worker = make().handle(handler, { ...numbers, concurrency: 1 }, async ({ n }) => {
      begun();
      await gate;
      return { doubled: n };
    });
    await worker.start();
    await publishTask(handler, runId, { step: 'a' });
    await running;
    const drained = worker.drain();
    await publishTask(handler, runId, { step: 'b' });
    release();
    await drained;
    expect((await results(runId, 1)).map(({ id }) => id)).toEqual([`result:${runId}:a:1`]);
    await make({ name: 'w2' }).handle(handler, numbers, doubled).start();
    expect((await results(runId, 2)).at(-1)?.id).toBe(`result:${runId}:b:1`);
  });

  it("given an attempt past the drain's deadline: given back at once, another worker finishes it", async () => {
    const { handler, runId } = fresh();
    let begun: () => void = () => undefined;
    const running = new Promise<void>((resolve) => (begun = resolve));
    const worker = make({ drainMs: 100 }).handle(handler, numbers, () => {
      begun();
      return new Promise(() => undefined);
    });
    await worker.start();
    await publishTask(handler, runId);
    await running;
    await worker.drain();
    await make({ name: 'w2' }).handle(handler, numbers, doubled).start();
    // Well inside the ack wait of 30 s: the task was handed back, not timed out.
    expect((await results(runId, 1)).at(-1)?.body).toMatchObject({ kind: 'task.succeeded' });
  });

  it('given a consumer that is deleted under it: made again, and work goes on', async () => {
    const { handler, runId } = fresh();
    await make().handle(handler, numbers, doubled).start();
    await publishTask(handler, runId, { step: 'a' });
    await results(runId, 1);
    await allAcknowledged(handler);
    await door.jsm.consumers.delete(STREAMS.tasks, taskConsumer('default', handler));
    await publishTask(handler, runId, { step: 'b' });
    expect((await results(runId, 2)).at(-1)?.id).toBe(`result:${runId}:b:1`);
  });

  it('given health checks: ready while it takes tasks, not any more while it drains', async () => {
    const { handler, runId } = fresh();
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const worker = make({ http: { port: 0 } }).handle(handler, numbers, async () => {
      await gate;
      return { doubled: 1 };
    });
    await worker.start();
    const ready = async () => (await fetch(`${worker.httpUrl}/readyz`)).status;
    await publishTask(handler, runId);
    await reports(runId, 1);
    expect(await ready()).toBe(200);
    const drained = worker.drain();
    expect(await ready()).toBe(503);
    release();
    await drained;
  });

  // Last: it restarts the server that all tests share.
  it('given a server that restarts while an attempt runs: the result is stored once, and work goes on', async () => {
    const { handler, runId } = fresh();
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    let runs = 0;
    const worker = make().handle(handler, numbers, async ({ n }) => {
      runs++;
      if (n === 1) await gate;
      return { doubled: n };
    });
    await worker.start();
    await publishTask(handler, runId, { step: 'a', input: { n: 1 } });
    await reports(runId, 1);
    await nats.kill();
    release();
    await nats.restart();
    // The test's own requests must not fall into the reconnect; the worker's do.
    await door.close();
    door = await connectNats({ url: nats.url, name: 'worker-test' });
    expect((await results(runId, 1)).at(-1)?.id).toBe(`result:${runId}:a:1`);
    await publishTask(handler, runId, { step: 'b', input: { n: 2 } });
    const all = await results(runId, 2);
    expect(all.at(-1)?.id).toBe(`result:${runId}:b:1`);
    await allAcknowledged(handler);
    expect(runs).toBe(2);
  });
});

describe('a worker that cannot start', () => {
  it('given no task stream: says what to do', async () => {
    const own = mkdtempSync(join(tmpdir(), 'millrace-worker-'));
    const bare = await startNats({ dir: own });
    onTestFinished(async () => {
      await bare.stop();
      rmSync(own, { recursive: true, force: true });
    });
    const worker = createWorker({ nats: bare.url, handleSignals: false }).handle('x', numbers, doubled);
    await expect(worker.start()).rejects.toMatchObject({ code: 'MR_NATS', hint: expect.stringContaining('apply') });
  });
});
