import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type NatsDoor, systemClock } from '../../src/drivers/index.ts';
import {
  Controller,
  type ControllerService,
  type Definition,
  fold,
  isEnded,
  type Journal,
  type Outbox,
  openJournal,
  openOutbox,
  type RunState,
  startController,
} from '../../src/engine/index.ts';
import { forwardTimers } from '../../src/engine/timers/timers.jetstream.ts';
import { runIdOf, STREAMS, spanIdOf, traceIdOfRun, triggerConsumer } from '../../src/kernel/index.ts';
import type { DefinitionStore } from '../../src/manifests/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { answering } from '../kit/delivery.ts';
import {
  define,
  type NatsKit,
  PATIENT,
  type Recorder,
  recorder,
  type TinyWorker,
  tinyWorker,
  waitFor,
  withNats,
  workerStep,
} from '../kit/index.ts';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const TRACE_ID = TRACEPARENT.slice(3, 35);

const order = define('order', [workerStep('a'), workerStep('b', ['a']), workerStep('c', ['b'])], {
  triggers: [
    { name: 'placed', stream: 'ORDERS', subject: 'orders.*', when: 'payload.amount > 10' },
    { name: 'keyed', stream: 'KEYED', subject: 'keyed.*', key: 'payload.id' },
  ],
});
const sleepy = define('sleepy', [
  { name: 'nap', needs: [], action: { kind: 'sleep', ms: 300 }, retry: PATIENT },
  {
    ...{ name: 'go', needs: ['nap'], retry: PATIENT },
    action: { kind: 'signal', name: 'go', timeoutMs: 60_000, onTimeout: 'continue' },
  },
  workerStep('end', ['go'], { timeoutMs: 60_000 }),
]);

let kit: NatsKit;
let door: NatsDoor;
let journal: Journal;
let definitions: DefinitionStore;
let worker: TinyWorker | undefined;
let services: ControllerService[] = [];
let runs = 0;

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  await door.jsm.streams.add({ name: 'ORDERS', subjects: ['orders.*'] });
  await door.jsm.streams.add({ name: 'KEYED', subjects: ['keyed.*'] });
  definitions = await kit.prepare([order, sleepy]);
  journal = openJournal(door);
});
afterAll(() => kit?.stop());
afterEach(async () => {
  await Promise.all(services.map((service) => service.stop()));
  services = [];
  await worker?.stop();
  worker = undefined;
});

async function controller(into: Recorder = recorder()): Promise<ControllerService> {
  const service = await startController({ door: await kit.door('controller'), definitions, telemetry: into.telemetry });
  services.push(service);
  return service;
}

async function start(definition: Definition, payload = {}): Promise<{ workflow: string; runId: string }> {
  const run = { workflow: definition.name, runId: `run${++runs}` };
  const body = { v: 1, kind: 'start', digest: definition.digest, payload } as const;
  await journal.send(run, body, { msgId: `start:${run.runId}` });
  return run;
}

async function stateOf(run: { workflow: string; runId: string }): Promise<RunState> {
  return fold(run.workflow, run.runId, await journal.entries(run));
}

const ended = (run: { workflow: string; runId: string }): Promise<RunState> =>
  waitFor(`the end of ${run.runId}`, async () => {
    const state = await stateOf(run);
    return isEnded(state) ? state : undefined;
  });

describe('whole runs', () => {
  it('takes a run through three worker steps, outputs in hand, and says so on the event stream', async () => {
    worker = await tinyWorker({ door, work: (task) => ({ did: task.step, saw: task.input }) });
    await controller();
    const run = await start(order, { amount: 1 });
    const state = await ended(run);
    expect(state.status).toBe('completed');
    expect(state.steps['c']?.output).toMatchObject({ did: 'c', saw: { steps: { b: { did: 'b' } } } });
    const info = await waitFor('the last event', async () => {
      const found = await door.jsm.streams.info(STREAMS.events, { subjects_filter: `evt.*.order.${run.runId}.>` });
      return `evt.run.order.${run.runId}.completed` in (found.state.subjects ?? {}) ? found : undefined;
    });
    expect(info.state.subjects).toMatchObject({
      [`evt.run.order.${run.runId}.started`]: 1,
      [`evt.step.order.${run.runId}.b.scheduled`]: 1,
      [`evt.step.order.${run.runId}.b.completed`]: 1,
    });
  });

  it('retries with the backoff of the server-side timer, then fails; a retry by hand goes on from there', async () => {
    let broken = true;
    worker = await tinyWorker({
      door,
      work: (task) => {
        if (task.step === 'b' && broken) throw new Error('no luck');
        return task.attempt;
      },
    });
    await controller();
    const run = await start(order);
    const failed = await ended(run);
    expect([failed.status, failed.failedStep, failed.error?.message]).toEqual(['failed', 'b', 'no luck']);
    expect(failed.steps['b']?.attempt).toBe(3);
    broken = false;
    await journal.send(run, { v: 1, kind: 'retry' }, { msgId: `retry:${run.runId}` });
    const again = await waitFor('the second end', async () => {
      const state = await stateOf(run);
      return state.status === 'completed' ? state : undefined;
    });
    expect(again.steps['b']).toMatchObject({ status: 'completed', attempt: 4, output: 4 });
    expect(worker.begun.filter(({ runId, step }) => runId === run.runId && step === 'a')).toHaveLength(1);
  });

  it('sleeps, waits for a signal that came before, and leaves no timer behind', async () => {
    worker = await tinyWorker({ door });
    await controller();
    const run = { workflow: 'sleepy', runId: `run${++runs}` };
    await journal.send(run, { v: 1, kind: 'signal', name: 'go', payload: { now: true } }, { msgId: 'early' });
    await journal.send(run, { v: 1, kind: 'start', digest: sleepy.digest, payload: {} }, { msgId: 'late' });
    const state = await ended(run);
    expect(state.status).toBe('completed');
    expect(state.steps['go']?.output).toEqual({ received: true, payload: { now: true } });
    const nap = state.steps['nap'];
    expect((nap?.endedAt ?? 0) - (nap?.startedAt ?? 0)).toBeGreaterThanOrEqual(300);
    await waitFor('an empty timer stream', async () => {
      const info = await door.jsm.streams.info(STREAMS.timers, { subjects_filter: `timer.*.sleepy.${run.runId}.>` });
      return Object.keys(info.state.subjects ?? {}).length === 0;
    });
  });

  it('cancels a run that waits', async () => {
    await controller();
    const run = await start(sleepy);
    await waitFor('the nap', async () => (await stateOf(run)).steps['nap']?.status === 'waiting');
    await journal.send(run, { v: 1, kind: 'cancel', reason: 'enough' }, { msgId: `cancel:${run.runId}` });
    expect(await ended(run)).toMatchObject({ status: 'cancelled', reason: 'enough', timers: {} });
  });

  it('fails the step whose input is larger than the server takes, with both sizes in the reason', async () => {
    const wide = define('wide', [workerStep('x'), workerStep('y'), workerStep('join', ['x', 'y'])]);
    await kit.prepare([wide]);
    worker = await tinyWorker({ door, work: () => 'x'.repeat(600_000) });
    await controller();
    const state = await ended(await start(wide));
    expect(state.status).toBe('failed');
    expect(state.error).toMatchObject({ code: 'MR_PAYLOAD_TOO_LARGE', retryable: false });
    expect(state.error?.message).toMatch(/\d{7} bytes, the server takes \d{7}/);
  });
});

describe('triggers', () => {
  it('starts one run per message that meets the condition, under the trace of the message', async () => {
    const seen = recorder();
    const traces: string[] = [];
    worker = await tinyWorker({
      door,
      work: (_task, { traceparent }) => {
        traces.push(traceparent ?? '');
        return null;
      },
    });
    await controller(seen);
    const { headers } = await import('nats');
    const traced = headers();
    traced.set('traceparent', TRACEPARENT);
    const small = await door.js.publish('orders.small', JSON.stringify({ amount: 1 }));
    const big = await door.js.publish('orders.big', JSON.stringify({ amount: 11 }), { headers: traced });
    const runId = runIdOf('order', 'placed', 'ORDERS', big.seq);
    const state = await ended({ workflow: 'order', runId });
    expect(state.source).toMatchObject({
      stream: 'ORDERS',
      sequence: big.seq,
      subject: 'orders.big',
      trigger: 'placed',
    });
    await waitFor('the acks', async () => {
      const info = await door.jsm.consumers.info('ORDERS', triggerConsumer('order', 'placed'));
      return info.num_ack_pending === 0 && info.num_pending === 0;
    });
    const ignored = { workflow: 'order', runId: runIdOf('order', 'placed', 'ORDERS', small.seq) };
    expect(await journal.entries(ignored)).toEqual([]);
    // publisher → trigger → run → step; the worker is told the step's span
    const spans = await waitFor('the spans', () => (seen.spans.length === 5 ? seen.spans : undefined));
    const triggerSpan = spanIdOf(runId, 'trigger/placed');
    const runSpan = spanIdOf(runId, 'run');
    expect(spans.map(({ name, traceId, spanId, parentSpanId }) => ({ name, traceId, spanId, parentSpanId }))).toEqual([
      { name: 'trigger order', traceId: TRACE_ID, spanId: triggerSpan, parentSpanId: 'b7ad6b7169203331' },
      ...['a', 'b', 'c'].map((step) => ({
        ...{ name: `step ${step}`, traceId: TRACE_ID, spanId: spanIdOf(runId, `step/${step}/1`) },
        parentSpanId: runSpan,
      })),
      { name: 'run order', traceId: TRACE_ID, spanId: runSpan, parentSpanId: triggerSpan },
    ]);
    expect(traces[0]).toBe(`00-${TRACE_ID}-${spanIdOf(runId, 'step/a/1')}-01`);
  });

  it('starts one run per key, and a trace of its own without a header', async () => {
    worker = await tinyWorker({ door });
    const seen = recorder();
    await controller(seen);
    for (const n of [1, 2, 3]) await door.js.publish('keyed.x', JSON.stringify({ id: 'k7', n }));
    await waitFor('the acks', async () => {
      const info = await door.jsm.consumers.info('KEYED', triggerConsumer('order', 'keyed'));
      return info.num_ack_pending === 0 && info.num_pending === 0;
    });
    const spans = await waitFor('one run', () => (seen.spans.length === 5 ? seen.spans : undefined));
    const runId = String(spans[0]?.attributes?.['millrace.run']);
    expect((await ended({ workflow: 'order', runId })).payload).toEqual({ id: 'k7', n: 1 });
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([traceIdOfRun(runId)]));
    expect(spans[0]?.parentSpanId).toBeUndefined();
  });
});

describe('crashes', () => {
  /** A controller over the real server whose outbox fails the first time it is asked, before or after it has sent. */
  async function faulty(workflow: string, when: 'before' | 'after') {
    const seen = recorder();
    const outbox = openOutbox({ door, journal, definitions, telemetry: seen.telemetry });
    const failed = new Set<number>();
    const crashing: Outbox = {
      deadLetter: (letter) => outbox.deadLetter(letter),
      async send(batch) {
        if (failed.has(batch.entry.seq)) return outbox.send(batch);
        failed.add(batch.entry.seq);
        if (when === 'after') await outbox.send(batch);
        throw new Error(`died ${when} sending`);
      },
    };
    const ports = { journal, outbox: crashing, definitions, clock: systemClock, telemetry: seen.telemetry };
    const machine = new Controller(ports);
    const consumption = await journal.consume(workflow, (delivery) =>
      machine.handle(answering(delivery, { nak: () => delivery.nak() })),
    );
    return { seen, failed, stop: () => consumption.stop() };
  }

  it.each(['before', 'after'] as const)(
    'every effect happens once when each entry dies %s its commands',
    async (when) => {
      const definition = define(`crash-${when}`, [
        ...[workerStep('a'), workerStep('b', ['a'], { timeoutMs: 60_000 })],
        { name: 'nap', needs: ['b'], action: { kind: 'sleep', ms: 50 }, retry: PATIENT },
        workerStep('c', ['nap']),
      ]);
      await kit.prepare([definition]);
      worker = await tinyWorker({ door });
      const timers = forwardTimers({ door, journal, telemetry: noTelemetry });
      const machine = await faulty(definition.name, when);
      const run = await start(definition);
      expect((await ended(run)).status).toBe('completed');
      const again = await waitFor('the last redelivery', async () => {
        const entries = await journal.entries(run);
        const answered = machine.seen.counted('millrace_engine_inputs_total', { outcome: 'again' });
        return answered === entries.length ? answered : undefined;
      });
      await machine.stop();
      await timers.stop();
      expect(machine.failed.size).toBe(again);
      const mine = worker.begun.filter(({ runId }) => runId === run.runId);
      expect(mine.map(({ step, attempt }) => `${step}/${attempt}`)).toEqual(['a/1', 'b/1', 'c/1']);
      const info = await door.jsm.streams.info(STREAMS.events, { subjects_filter: `evt.*.${run.workflow}.>` });
      expect(new Set(Object.values(info.state.subjects ?? {}))).toEqual(new Set([1]));
      // R7: one span per attempt, one for the run, although every entry was handled twice.
      expect(machine.seen.spans.map(({ name }) => name)).toEqual([
        ...['step a', 'step b', 'step nap', 'step c'],
        `run ${run.workflow}`,
      ]);
    },
  );
});

describe('the service', () => {
  it('follows a workflow that is applied while it runs', async () => {
    worker = await tinyWorker({ door });
    const service = await controller();
    const fresh = define('fresh', [workerStep('only')]);
    await kit.prepare([fresh]);
    expect((await ended(await start(fresh))).status).toBe('completed');
    const checks = await waitFor('health', async () => {
      const all = await service.checks();
      return all.every(({ ok }) => ok) ? all : undefined;
    });
    expect(checks.map(({ name }) => name)).toEqual(expect.arrayContaining(['nats', 'workflow fresh', 'timers']));
  });

  it('says that it is not well while the server is away, and finishes its runs when it is back', async () => {
    worker = await tinyWorker({ door, work: (task) => (task.step === 'a' ? 1 : 2) });
    const service = await controller();
    const all = await Promise.all(Array.from({ length: 30 }, () => start(order)));
    await kit.server.kill();
    const sick = await waitFor('a bad check', async () => {
      const nats = (await service.checks()).find(({ name }) => name === 'nats');
      return nats?.ok === false ? nats : undefined;
    });
    expect(sick.detail).toContain(kit.url);
    await kit.server.restart();
    const states = await Promise.all(
      all.map((run) =>
        waitFor(
          `the end of ${run.runId}`,
          async () => {
            const state = await stateOf(run).catch(() => undefined);
            return state !== undefined && isEnded(state) ? state : undefined;
          },
          60_000,
        ),
      ),
    );
    expect(new Set(states.map(({ status }) => status))).toEqual(new Set(['completed']));
  });
});
