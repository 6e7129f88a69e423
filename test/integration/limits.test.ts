/** Flow control on a real server: slots over dying controllers, rates, queues, priorities, what nobody gave back. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { NatsDoor } from '../../src/drivers/index.ts';
import {
  type ControllerService,
  type Definition,
  fold,
  isEnded,
  type Journal,
  openJournal,
  queueLimit,
  type RunState,
  runLimits,
  type StoredEntry,
  startController,
} from '../../src/engine/index.ts';
import { LIMIT_CONSUMER, limitKeyToken, STREAMS, triggerConsumer } from '../../src/kernel/index.ts';
import { foldLimit, type LimitService, openLimitJournal, startLimits } from '../../src/limits/index.ts';
import type { DefinitionStore } from '../../src/manifests/index.ts';
import { noTelemetry as telemetry } from '../../src/telemetry/index.ts';
import { define, type NatsKit, type TinyWorker, tinyWorker, waitFor, withNats, workerStep } from '../kit/index.ts';

const gathers = (name: string, trigger: object): Definition =>
  define(name, [workerStep('a')], {
    triggers: [{ name: 't', stream: name.toUpperCase(), subject: `${name}.*`, ...trigger }],
  });
const quiet = gathers('quiet', { debounce: { waitMs: 1_000, maxMs: 60_000, key: 'payload.doc' } });
const heap = gathers('heap', { batch: { size: 10, waitMs: 1_500 } });

let kit: NatsKit;
let door: NatsDoor;
let journal: Journal;
let worker: TinyWorker | undefined;
let limits: ReturnType<typeof openLimitJournal>;
const children: ChildProcess[] = [];
const running: (ControllerService | LimitService)[] = [];

const work = [workerStep('a'), workerStep('b', ['a'])];
const three = define('three', work, { limits: runLimits('three', { concurrency: { limit: 3 } }) });
const keyed = define('keyed', [workerStep('hold')], {
  limits: runLimits('keyed', { concurrency: { limit: 1, key: 'payload.customer' } }),
  priority: 'payload.priority',
});
const newest = define('newest', [workerStep('hold')], {
  limits: runLimits('newest', { singleton: { onFull: 'cancelOldest' } }),
});
const slow = define('slow', [workerStep('a')], {
  limits: runLimits('slow', { rateLimit: { limit: 5, perMs: 1_000 } }),
});
const gpu = (name: string): Definition =>
  define(name, [
    { ...workerStep('t'), action: { kind: 'worker', handler: 't', queue: 'gpu', limit: queueLimit('gpu', 2) } },
  ]);
const [gpuA, gpuB] = [gpu('gpu-a'), gpu('gpu-b')];

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  for (const name of ['quiet', 'heap']) {
    await door.jsm.streams.add({ name: name.toUpperCase(), subjects: [`${name}.*`] });
  }
  await kit.prepare([three, keyed, newest, slow, gpuA, gpuB, quiet, heap]);
  for (const { name } of [quiet, heap]) {
    await door.jsm.consumers.update(name.toUpperCase(), triggerConsumer(name, 't'), { ack_wait: 1_000_000_000 });
  }
  await door.jsm.consumers.update(STREAMS.asks, LIMIT_CONSUMER, { ack_wait: 1_000_000_000 });
  journal = openJournal(door);
  limits = openLimitJournal({ door });
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await Promise.all(running.splice(0).map((service) => service.stop()));
  await worker?.stop();
  worker = undefined;
});
afterAll(() => kit?.stop());

async function controller(sweepMs = 500): Promise<void> {
  const own = await kit.door('controller');
  const { openDefinitions } = await import('../../src/manifests/index.ts');
  const definitions: DefinitionStore = await openDefinitions(own.nc);
  running.push(await startController({ door: own, definitions, telemetry }));
  running.push(startLimits({ door: own, journal: openJournal(own), telemetry, sweepMs }));
}

async function childController(): Promise<ChildProcess> {
  const args = ['--import', 'tsx', join(import.meta.dirname, '../kit/controller-process.ts'), kit.url];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout ?? child, 'data');
  return child;
}

const start = ({ name, digest }: Definition, runId: string, payload: object = {}) =>
  journal.send(
    { workflow: name, runId },
    { v: 1, kind: 'start', digest, payload: { ...payload } },
    { msgId: `start:${name}:${runId}` },
  );

const entriesOf = (workflow: string, runId: string) => journal.entries({ workflow, runId });

async function run(workflow: string, runId: string): Promise<RunState> {
  return fold(workflow, runId, await entriesOf(workflow, runId));
}

const ended = (workflow: string, runId: string) =>
  waitFor(
    `the end of ${runId}`,
    async () => {
      const state = await run(workflow, runId);
      return isEnded(state) ? state : undefined;
    },
    60_000,
  );

async function limitState(limit: string, key = '') {
  return foldLimit(limit, await limits.entries({ limit, token: limitKeyToken(limit, key) }));
}

/** When a run had its slot, as its log says: from the sequence of its admission to that of its end. */
function span(entries: readonly StoredEntry[]): readonly [number, number] {
  const seqOf = (types: readonly string[]) =>
    entries.find(({ transitions }) => transitions.some(({ type }) => types.includes(type)))?.seq ?? 0;
  return [seqOf(['RunAdmitted']), seqOf(['RunCompleted', 'RunFailed', 'RunCancelled'])];
}

function mostAtOnce(spans: readonly (readonly [number, number])[]): number {
  const moves = spans.flatMap(([from, to]) => [[from, 1] as const, [to, -1] as const]).sort((a, b) => a[0] - b[0]);
  let [now, most] = [0, 0];
  for (const [, move] of moves) most = Math.max(most, (now += move));
  return most;
}

describe('slots', () => {
  it('fifty runs, three at once, and two controllers are killed in the middle: never more than three, all end', async () => {
    const [first, second] = await Promise.all([childController(), childController()]);
    worker = await tinyWorker({ door });
    const ids = Array.from({ length: 50 }, (_, n) => `r${n}`);
    await Promise.all(ids.map((id) => start(three, id)));
    await ended('three', 'r5');
    first?.kill('SIGKILL');
    await controller();
    await waitFor('half of them', async () => (await limitState('workflow:three')).waiting.length < 25, 60_000);
    second?.kill('SIGKILL');
    for (const id of ids) expect((await ended('three', id)).status).toBe('completed');
    const logs = await Promise.all(ids.map((id) => entriesOf('three', id)));
    expect(mostAtOnce(logs.map(span))).toBeLessThanOrEqual(3);
    await waitFor('that all slots are back', async () => (await limitState('workflow:three')).held.length === 0);
    const { token, waiting } = await limitState('workflow:three');
    expect([waiting, token >= 50]).toEqual([[], true]);
  }, 120_000);

  it('per key; and the slot of a run that is gone comes back within seconds', async () => {
    await controller();
    await start(keyed, 'k1', { customer: 'a', priority: 3 });
    await start(keyed, 'k2', { customer: 'a', priority: 3 });
    await start(keyed, 'k3', { customer: 'b', priority: 3 });
    await waitFor(
      'the slots',
      async () => (await run('keyed', 'k1')).status === 'running' && (await run('keyed', 'k3')).status === 'running',
    );
    expect((await run('keyed', 'k2')).status).toBe('queued');
    await door.jsm.streams.purge('WF_keyed', { filter: 'wf.keyed.log.k1' });
    const began = Date.now();
    await waitFor('the slot of k1', async () => (await run('keyed', 'k2')).status === 'running');
    expect(Date.now() - began).toBeLessThan(10_000);
    expect((await limitState('workflow:keyed', 'a')).held.map(({ holder }) => holder.runId)).toEqual(['k2']);
  });

  it('priority goes before time asked, and a queued run that is cancelled leaves the queue', async () => {
    await controller();
    const at = { customer: 'p' };
    await start(keyed, 'p0', { ...at, priority: 3 });
    await waitFor('that it runs', async () => (await run('keyed', 'p0')).status === 'running');
    for (const [id, priority] of [
      ['p5', 5],
      ['p3', 3],
      ['p1', 1],
      ['gone', 1],
    ] as const) {
      await start(keyed, id, { ...at, priority });
      await waitFor('that it waits', async () => (await run('keyed', id)).status === 'queued');
    }
    await journal.send({ workflow: 'keyed', runId: 'gone' }, { v: 1, kind: 'cancel', reason: 'no' }, { msgId: 'c' });
    await waitFor('that it has left', async () => (await limitState('workflow:keyed', 'p')).waiting.length === 3);
    worker = await tinyWorker({ door });
    for (const id of ['p0', 'p1', 'p3', 'p5']) await ended('keyed', id);
    const spans = await Promise.all(['p0', 'p1', 'p3', 'p5'].map(async (id) => span(await entriesOf('keyed', id))));
    expect(spans.map(([from]) => from)).toEqual([...spans.map(([from]) => from)].sort((a, b) => a - b));
    expect(mostAtOnce(spans)).toBe(1);
  });

  it('cancelOldest: the newest run takes the place of the one that runs', async () => {
    await controller();
    await start(newest, 'old');
    await waitFor('that it runs', async () => (await run('newest', 'old')).status === 'running');
    await start(newest, 'new');
    expect((await ended('newest', 'old')).reason).toBe('a newer run takes its slot of workflow:newest');
    await waitFor('that the newer runs', async () => (await run('newest', 'new')).status === 'running');
  });
});

it('rate: never more starts within a second than it says, and none is forgotten', async () => {
  await controller();
  worker = await tinyWorker({ door });
  const ids = Array.from({ length: 17 }, (_, n) => `s${n}`);
  await Promise.all(ids.map((id) => start(slow, id)));
  for (const id of ids) await ended('slow', id);
  const { token, held } = await limitState('rate:slow');
  expect([held, token > 0]).toEqual([[], true]);
  const slots = (await Promise.all(ids.map((id) => run('slow', id)))).map(({ startedAt = 0 }) => startedAt);
  const times = slots.sort((a, b) => a - b);
  // A grant is on its way for some milliseconds, and not each for as many.
  for (const [n, time] of times.entries()) expect((times[n + 5] ?? Infinity) - time).toBeGreaterThan(900);
});

it('a queue: attempts of two workflows share its slots, and an attempt is handed out only with one', async () => {
  await controller();
  const held: string[] = [];
  worker = await tinyWorker({
    door,
    work: ({ workflow, runId }) => void held.push(`${workflow}/${runId}`),
    ackWaitMs: 60_000,
  });
  for (const id of ['g1', 'g2']) await Promise.all([start(gpuA, id), start(gpuB, id)]);
  await waitFor('two tasks', () => held.length === 2);
  await waitFor('that the others wait', async () => (await limitState('queue:gpu')).waiting.length === 2);
  expect(held).toHaveLength(2);
  const [first = ''] = held;
  const [workflow = '', runId = ''] = first.split('/');
  await journal.send(
    { workflow, runId },
    { v: 1, kind: 'task.succeeded', step: 't', attempt: 1, output: null },
    { msgId: `result:${first}` },
  );
  await waitFor('the third task', () => held.length === 3);
  expect((await limitState('queue:gpu')).held).toHaveLength(2);
});

describe('triggers that gather, over a controller that is killed', () => {
  const payloads = async (name: string) => {
    const runs = await Promise.all((await journal.runIds(name)).map((id) => run(name, id)));
    return runs.map(({ payload }) => payload);
  };

  it('debounce: the last message of each key starts one run', async () => {
    const first = await childController();
    for (let n = 1; n <= 5; n++) {
      for (const doc of ['a', 'b']) await door.js.publish('quiet.x', JSON.stringify({ doc, n }));
    }
    const key = async (doc: string) => (await limitState('gather:quiet:t', doc)).gathered?.seen.length;
    await waitFor('that all is gathered', async () => (await key('a')) === 5 && (await key('b')) === 5);
    first.kill('SIGKILL');
    await controller();
    await waitFor('two runs', async () => (await payloads('quiet')).length === 2);
    expect((await payloads('quiet')).sort()).toEqual([
      { doc: 'a', n: 5 },
      { doc: 'b', n: 5 },
    ]);
  });

  it('batch: each message is in one run', async () => {
    const first = await childController();
    const all = Array.from({ length: 95 }, (_, n) => n);
    const sending = Promise.all(all.map((n) => door.js.publish('heap.x', JSON.stringify(n))));
    await waitFor('the first batches', async () => (await payloads('heap')).length > 2);
    first.kill('SIGKILL');
    await sending;
    await controller();
    await waitFor('all of them', async () => (await payloads('heap')).flat().length >= all.length);
    const batches = (await payloads('heap')) as number[][];
    expect(batches.flat().sort((a, b) => a - b)).toEqual(all);
    expect(Math.max(...batches.map(({ length }) => length))).toBe(10);
  });
});

it('what is no message is terminated and stops nobody; an idle key is forgotten on the server too', async () => {
  await controller();
  worker = await tinyWorker({ door });
  await door.jsm.streams.info(STREAMS.asks);
  door.nc.publish('limit.in.workflow:three._', 'no json');
  await start(three, 'after');
  await ended('three', 'after');
  const state = await waitFor('that it is free', async () => {
    const now = await limitState('workflow:three');
    return now.held.length === 0 ? now : undefined;
  });
  const ref = { limit: 'workflow:three', token: '_' };
  await waitFor('that it is acknowledged', async () => {
    await limits.forget(ref, state);
    return (await limits.entries(ref)).length === 0;
  });
  await start(three, 'again');
  await ended('three', 'again');
  expect((await limitState('workflow:three')).token).toBeGreaterThan(state.token);
});
