/** What every reconcile queue keeps (Q1 to Q3). Run over memory in `verify`, over Redis in `integration`. */
import { afterEach, describe, expect, test } from 'vitest';
import type { Outcome, ReconcileKey, ReconcileQueue } from '../../src/engine/index.ts';
import type { TraceHeaders } from '../../src/telemetry/index.ts';

const key = (runId: string): ReconcileKey => ({ workflow: 'report', runId, step: 'compute', attempt: 1 });
const DONE: Outcome = { kind: 'done' };

/** A handler whose jobs end when the test says so. */
class Script {
  readonly started: { key: ReconcileKey; trace: TraceHeaders | undefined; end: (outcome: Outcome) => void }[] = [];
  #waiters: { count: number; resolve: () => void }[] = [];

  readonly handler = (k: ReconcileKey, trace?: TraceHeaders): Promise<Outcome> =>
    new Promise((resolve) => {
      this.started.push({ key: k, trace, end: resolve });
      for (const waiter of this.#waiters.filter(({ count }) => this.started.length >= count)) waiter.resolve();
    });

  /** Resolves when so many jobs have started in all. */
  startedCount(count: number): Promise<void> {
    if (this.started.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ count, resolve }));
  }

  end(index: number, outcome: Outcome = DONE): void {
    this.started[index]?.end(outcome);
  }

  endAll(): void {
    for (const { end } of this.started) end(DONE);
  }

  get runs(): string[] {
    return this.started.map((job) => job.key.runId);
  }
}

/** One queue, its script and its consumption. */
class Fixture {
  readonly queue: ReconcileQueue;
  readonly script = new Script();
  consumption: { stop(): Promise<void> } | undefined;

  constructor(queue: ReconcileQueue) {
    this.queue = queue;
  }

  async begin(concurrency = 4): Promise<void> {
    this.consumption = await this.queue.consume(this.script.handler, { concurrency });
  }

  /** A key that comes last, so that its start proves that nothing else was left to start. */
  async marker(count: number): Promise<void> {
    await this.queue.enqueue(key('marker'));
    await this.script.startedCount(count);
  }

  async close(): Promise<void> {
    this.script.endAll();
    await this.consumption?.stop();
    await this.queue.close();
  }
}

type Use = () => Promise<Fixture>;

/** @param open a queue of its own for each test */
export function reconcileQueueContract(name: string, open: () => Promise<ReconcileQueue>): void {
  describe(`reconcile queue on ${name}`, () => {
    let fixture: Fixture | undefined;
    const use: Use = async () => (fixture = new Fixture(await open()));
    afterEach(async () => {
      await fixture?.close();
    });
    waiting(use);
    handling(use);
    outcomes(use);
  });
}

function waiting(use: Use): void {
  test('hands over the key and its trace', async () => {
    const f = await use();
    const trace = { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` };
    await f.queue.enqueue(key('r1'), { trace });
    await f.begin();
    await f.script.startedCount(1);
    expect(f.script.started.map((job) => ({ key: job.key, trace: job.trace }))).toEqual([{ key: key('r1'), trace }]);
  });

  test('Q1: a key that waits is not queued twice', async () => {
    const f = await use();
    for (const runId of ['r1', 'r1', 'r2', 'r1']) await f.queue.enqueue(key(runId));
    await f.begin();
    await f.marker(3);
    expect(f.script.runs.sort()).toEqual(['marker', 'r1', 'r2']);
  });

  test('Q1: one asked for at once does not wait for a later one', async () => {
    const f = await use();
    await f.begin();
    await f.queue.enqueue(key('r1'), { delayMs: 600_000 });
    await f.queue.enqueue(key('r1'));
    await f.script.startedCount(1);
    expect(f.script.runs).toEqual(['r1']);
  });

  test('Q1: one asked for later does not put off the one that waits', async () => {
    const f = await use();
    await f.queue.enqueue(key('r1'));
    await f.queue.enqueue(key('r1'), { delayMs: 600_000 });
    await f.begin();
    await f.script.startedCount(1);
    expect(f.script.runs).toEqual(['r1']);
  });

  test('a delay is waited for', async () => {
    const f = await use();
    await f.begin();
    const from = Date.now();
    await f.queue.enqueue(key('r1'), { delayMs: 150 });
    await f.script.startedCount(1);
    expect(Date.now() - from).toBeGreaterThanOrEqual(145);
  });
}

function handling(use: Use): void {
  test('Q2: one that is enqueued while it is handled is handled once more, afterwards', async () => {
    const f = await use();
    await f.begin();
    await f.queue.enqueue(key('r1'));
    await f.script.startedCount(1);
    await f.queue.enqueue(key('r1'));
    await f.queue.enqueue(key('r1'));
    await f.marker(2);
    expect(f.script.runs).toEqual(['r1', 'marker']);
    f.script.end(0);
    await f.script.startedCount(3);
    f.script.end(2);
    await f.queue.enqueue(key('last'));
    await f.script.startedCount(4);
    expect(f.script.runs).toEqual(['r1', 'marker', 'r1', 'last']);
  });

  test('Q2: a look that was asked for at once is not put off by the outcome of the one under way', async () => {
    const f = await use();
    await f.begin();
    await f.queue.enqueue(key('r1'));
    await f.script.startedCount(1);
    await f.queue.enqueue(key('r1'));
    f.script.end(0, { kind: 'after', ms: 60_000 });
    await f.script.startedCount(2);
    expect(f.script.runs).toEqual(['r1', 'r1']);
  });

  test('no more at once than asked for', async () => {
    const f = await use();
    for (const runId of ['r1', 'r2', 'r3']) await f.queue.enqueue(key(runId));
    await f.begin(2);
    await f.script.startedCount(2);
    expect(f.script.runs).toHaveLength(2);
    f.script.end(0);
    await f.script.startedCount(3);
    expect(f.script.runs.sort()).toEqual(['r1', 'r2', 'r3']);
  });

  test('stop waits for the job under way and starts no other', async () => {
    const f = await use();
    await f.begin(1);
    await f.queue.enqueue(key('r1'));
    await f.script.startedCount(1);
    await f.queue.enqueue(key('r2'));
    let stopped = false;
    const stopping = f.consumption?.stop().then(() => (stopped = true));
    expect(stopped).toBe(false);
    f.script.end(0);
    await stopping;
    expect(f.script.runs).toEqual(['r1']);
  });
}

function outcomes(use: Use): void {
  test('Q3: done and terminal end it, after and retry bring it back', async () => {
    const f = await use();
    await f.begin();
    await f.queue.enqueue(key('r1'));
    await f.script.startedCount(1);
    f.script.end(0, { kind: 'after', ms: 60 });
    await f.script.startedCount(2);
    f.script.end(1, { kind: 'retry', reason: 'not there' });
    await f.script.startedCount(3);
    f.script.end(2, { kind: 'terminal', reason: 'no use' });
    await f.queue.enqueue(key('r2'));
    await f.script.startedCount(4);
    expect(f.script.runs).toEqual(['r1', 'r1', 'r1', 'r2']);
  });

  test('Q3: a handler that throws is a retry', async () => {
    const f = await use();
    let thrown = 0;
    f.consumption = await f.queue.consume(
      (k, trace) => (thrown++ === 0 ? Promise.reject(new Error('boom')) : f.script.handler(k, trace)),
      { concurrency: 1 },
    );
    await f.queue.enqueue(key('r1'));
    await f.script.startedCount(1);
    expect(thrown).toBe(2);
  });
}
