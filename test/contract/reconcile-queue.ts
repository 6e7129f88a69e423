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

/** @param open a queue of its own for each test */
export function reconcileQueueContract(name: string, open: () => Promise<ReconcileQueue>): void {
  describe(`reconcile queue on ${name}`, () => {
    let queue: ReconcileQueue;
    let script: Script;
    let consumption: { stop(): Promise<void> } | undefined;

    const begin = async (concurrency = 4): Promise<void> => {
      consumption = await queue.consume(script.handler, { concurrency });
    };
    const setUp = async (): Promise<void> => {
      queue = await open();
      script = new Script();
      consumption = undefined;
    };
    /** A key that comes last, so that its start proves that nothing else was left to start. */
    const marker = async (count: number): Promise<void> => {
      await queue.enqueue(key('marker'));
      await script.startedCount(count);
    };

    afterEach(async () => {
      script.endAll();
      await consumption?.stop();
      await queue.close();
    });

    test('hands over the key and its trace', async () => {
      await setUp();
      const trace = { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` };
      await queue.enqueue(key('r1'), { trace });
      await begin();
      await script.startedCount(1);
      expect(script.started.map((job) => ({ key: job.key, trace: job.trace }))).toEqual([{ key: key('r1'), trace }]);
    });

    test('Q1: a key that waits is not queued twice', async () => {
      await setUp();
      for (const runId of ['r1', 'r1', 'r2', 'r1']) await queue.enqueue(key(runId));
      await begin();
      await marker(3);
      expect(script.runs.sort()).toEqual(['marker', 'r1', 'r2']);
    });

    test('Q1: one asked for at once does not wait for a later one', async () => {
      await setUp();
      await begin();
      await queue.enqueue(key('r1'), { delayMs: 600_000 });
      await queue.enqueue(key('r1'));
      await script.startedCount(1);
      expect(script.runs).toEqual(['r1']);
    });

    test('Q1: one asked for later does not put off the one that waits', async () => {
      await setUp();
      await queue.enqueue(key('r1'));
      await queue.enqueue(key('r1'), { delayMs: 600_000 });
      await begin();
      await script.startedCount(1);
      expect(script.runs).toEqual(['r1']);
    });

    test('a delay is waited for', async () => {
      await setUp();
      await begin();
      const from = Date.now();
      await queue.enqueue(key('r1'), { delayMs: 150 });
      await script.startedCount(1);
      expect(Date.now() - from).toBeGreaterThanOrEqual(145);
    });

    test('Q2: one that is enqueued while it is handled is handled once more, afterwards', async () => {
      await setUp();
      await begin();
      await queue.enqueue(key('r1'));
      await script.startedCount(1);
      await queue.enqueue(key('r1'));
      await queue.enqueue(key('r1'));
      await marker(2);
      expect(script.runs).toEqual(['r1', 'marker']);
      script.end(0);
      await script.startedCount(3);
      script.end(2);
      await queue.enqueue(key('last'));
      await script.startedCount(4);
      expect(script.runs).toEqual(['r1', 'marker', 'r1', 'last']);
    });

    test('Q2: a look that was asked for at once is not put off by the outcome of the one under way', async () => {
      await setUp();
      await begin();
      await queue.enqueue(key('r1'));
      await script.startedCount(1);
      await queue.enqueue(key('r1'));
      script.end(0, { kind: 'after', ms: 60_000 });
      await script.startedCount(2);
      expect(script.runs).toEqual(['r1', 'r1']);
    });

    test('Q3: done and terminal end it, after and retry bring it back', async () => {
      await setUp();
      await begin();
      await queue.enqueue(key('r1'));
      await script.startedCount(1);
      script.end(0, { kind: 'after', ms: 60 });
      await script.startedCount(2);
      script.end(1, { kind: 'retry', reason: 'not there' });
      await script.startedCount(3);
      script.end(2, { kind: 'terminal', reason: 'no use' });
      await queue.enqueue(key('r2'));
      await script.startedCount(4);
      expect(script.runs).toEqual(['r1', 'r1', 'r1', 'r2']);
    });

    test('Q3: a handler that throws is a retry', async () => {
      await setUp();
      const script2 = script;
      let thrown = 0;
      consumption = await queue.consume(
        (k, trace) => (thrown++ === 0 ? Promise.reject(new Error('boom')) : script2.handler(k, trace)),
        { concurrency: 1 },
      );
      await queue.enqueue(key('r1'));
      await script.startedCount(1);
      expect(thrown).toBe(2);
    });

    test('no more at once than asked for', async () => {
      await setUp();
      for (const runId of ['r1', 'r2', 'r3']) await queue.enqueue(key(runId));
      await begin(2);
      await script.startedCount(2);
      expect(script.runs).toHaveLength(2);
      script.end(0);
      await script.startedCount(3);
      expect(script.runs.sort()).toEqual(['r1', 'r2', 'r3']);
    });

    test('stop waits for the job under way and starts no other', async () => {
      await setUp();
      await begin(1);
      await queue.enqueue(key('r1'));
      await script.startedCount(1);
      await queue.enqueue(key('r2'));
      let stopped = false;
      const stopping = consumption?.stop().then(() => (stopped = true));
      expect(stopped).toBe(false);
      script.end(0);
      await stopping;
      expect(script.runs).toEqual(['r1']);
    });
  });
}
