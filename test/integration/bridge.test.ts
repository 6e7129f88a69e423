/** The bridge against real NATS, Redis and Prefect; controller and flow host are small ones of the test (bridge-kit.ts). */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ServerHandle, startNats, startPrefect, startRedis } from '../../ops/stack/index.ts';
import {
  type Bridge,
  type Comparison,
  compareAll,
  createPrefectClient,
  type FlowRun,
  type PrefectApi,
  startBridge,
} from '../../src/bridge/index.ts';
import type { Definition } from '../../src/engine/index.ts';
import { cancelSubject, STREAMS } from '../../src/kernel/index.ts';
import { attemptContext, noTelemetry } from '../../src/telemetry/index.ts';
import {
  createDeployment,
  openHost,
  openSystem,
  POOL,
  poll,
  type SmallHost,
  type SmallSystem,
  workflow,
} from './bridge-kit.ts';

const FLOW = 'delays';
const REPORT = workflow('report', `${FLOW}/main`);
const ORPHAN = workflow('orphan', `${FLOW}/nowhere`);
const PLAIN = workflow('plain', `${FLOW}/main`, { with: { data: 'payload' } });

let dir: string;
let servers: { nats: ServerHandle; redis: ServerHandle; prefect: ServerHandle };
let prefect: PrefectApi;
let system: SmallSystem;
let host: SmallHost;
let bridge: Bridge;

const options = () => ({
  door: system.door,
  journal: system.journal,
  definitions: system.definitions,
  prefectUrl: servers.prefect.url,
  redisUrl: servers.redis.url,
  telemetry: noTelemetry,
  sweepMs: 500,
});

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-bridge-'));
  const [nats, redis, prefectServer] = await Promise.all([
    startNats({ dir: join(dir, 'nats') }),
    startRedis({ dir: join(dir, 'redis') }),
    startPrefect({ dir: join(dir, 'prefect') }),
  ]);
  servers = { nats, redis, prefect: prefectServer };
  prefect = createPrefectClient({ url: prefectServer.url });
  await createDeployment(prefectServer.url, FLOW, 'main');
  system = await openSystem(nats.url);
  for (const definition of [REPORT, ORPHAN, PLAIN]) await system.deploy(definition);
  host = await openHost(system.door);
  bridge = await startBridge(options());
  system.queue = bridge.queue;
});

afterAll(async () => {
  await bridge?.stop();
  await host?.stop();
  await system?.close();
  for (const server of Object.values(servers ?? {})) await server.stop();
  await rm(dir, { recursive: true, force: true });
});

const flowRunIdOf = async (definition: Definition, runId: string): Promise<string> => {
  const state = await system.until(definition, runId, ({ steps }) => steps['compute']?.flows[1] !== undefined);
  return state.steps['compute']?.flows[1]?.flowRunId ?? '';
};

const liveType = async (id: string): Promise<string | undefined> => (await prefect.readFlowRun(id))?.state?.type;
const set = (id: string, type: 'PENDING' | 'RUNNING' | 'COMPLETED' | 'FAILED' | 'CANCELLED' | 'CANCELLING') =>
  prefect.setState(id, { type, message: 'by the test' });
const compare = (): Promise<Comparison> =>
  compareAll(system.journal, prefect, system.definitions, [REPORT.name, ORPHAN.name, PLAIN.name]);
const dispatchesOf = (id: string): string[] =>
  host.dispatches.filter(({ flowRunId }) => flowRunId === id).map(({ action }) => action);

async function begun(runId: string): Promise<string> {
  await system.start(REPORT, runId, 'hello');
  const id = await flowRunIdOf(REPORT, runId);
  await poll(
    async () => dispatchesOf(id),
    (actions) => actions.length > 0,
  );
  return id;
}

/** Ends the run as a host would. */
async function complete(runId: string, id: string): Promise<void> {
  await set(id, 'PENDING');
  await set(id, 'RUNNING');
  await set(id, 'COMPLETED');
  const state = { type: 'COMPLETED' as const, name: 'Completed', message: undefined, at: Date.now() };
  const body = { v: 1 as const, kind: 'flow' as const, step: 'compute', attempt: 1, flowRunId: id, state };
  await system.journal.send(
    { workflow: REPORT.name, runId },
    { ...body, source: 'host', result: { delayed: 7 } },
    { msgId: `flow:${id}:COMPLETED` },
  );
  host.ack(id);
}

describe('a run that wants a flow run', () => {
  test('gets one with its names, labels, tags and parameters, and a dispatch', async () => {
    const id = await begun('r1');
    const run = (await prefect.readFlowRun(id)) as FlowRun;
    const { traceparent } = attemptContext(
      { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` },
      'r1',
      'compute',
      1,
    );
    expect(run).toMatchObject({
      name: 'r1-compute-1',
      idempotency_key: 'r1/compute/1',
      labels: {
        'millrace.workflow': 'report',
        'millrace.run': 'r1',
        'millrace.step': 'compute',
        'millrace.attempt': 1,
        __OTEL_TRACEPARENT: traceparent,
      },
    });
    expect([...run.tags].sort()).toEqual(['attempt:1', 'millrace', 'run:r1', 'step:compute', 'workflow:report']);
    expect(host.dispatches.find(({ flowRunId }) => flowRunId === id)).toEqual({
      ...{ v: 1, action: 'run', workflow: 'report', runId: 'r1', step: 'compute', attempt: 1, flowRunId: id },
      deployment: `${FLOW}/main`,
      parameters: { input: { payload: 'hello', steps: {} } },
      traceparent,
    });
    await complete('r1', id);
    const state = await system.until(REPORT, 'r1', ({ status }) => status !== 'running');
    expect(state.steps['compute']).toMatchObject({ status: 'completed', output: { delayed: 7 } });
  });

  test('data that looks like a placeholder of Prefect arrives as it was', async () => {
    const data = { __prefect_kind: 'jinja', template: '{{ 1 + 1 }}' };
    const start = { v: 1 as const, kind: 'start' as const, digest: PLAIN.digest, payload: data };
    await system.journal.send({ workflow: PLAIN.name, runId: 'p1' }, start, { msgId: 'start:p1' });
    const id = await flowRunIdOf(PLAIN, 'p1');
    const response = await fetch(`${servers.prefect.url}/flow_runs/${id}`);
    expect(((await response.json()) as { parameters: unknown }).parameters).toEqual({ data });
    await system.journal.send(
      { workflow: PLAIN.name, runId: 'p1' },
      { v: 1, kind: 'cancel', reason: 'seen' },
      { msgId: 'cancel:p1' },
    );
    await poll(
      () => liveType(id),
      (type) => type === 'CANCELLED',
    );
  });

  test('gets one flow run and one dispatch, however many bridges and looks there are', async () => {
    const other = await startBridge(options());
    const key = { workflow: 'report', runId: 'r2', step: 'compute', attempt: 1 };
    await system.start(REPORT, 'r2', 'hello');
    for (let i = 0; i < 10; i++) await (i % 2 === 0 ? bridge : other).queue.enqueue(key);
    const id = await flowRunIdOf(REPORT, 'r2');
    await poll(
      async () => dispatchesOf(id),
      (actions) => actions.length > 0,
    );
    for (let i = 0; i < 10; i++) await (i % 2 === 0 ? bridge : other).queue.enqueue(key);
    await other.stop();
    expect(await prefect.filterFlowRuns({ tags: ['millrace', 'run:r2'] })).toHaveLength(1);
    await complete('r2', id);
    await system.until(REPORT, 'r2', ({ status }) => status === 'completed');
    expect(dispatchesOf(id)).toEqual(['run']);
  });

  test('fails with a readable reason when its deployment does not exist', async () => {
    await system.start(ORPHAN, 'o1', 'hello');
    const state = await system.until(ORPHAN, 'o1', ({ status }) => status !== 'running' && status !== 'new');
    expect(state.error).toMatchObject({
      code: 'MR_DEPLOYMENT_MISSING',
      message: 'Prefect has no deployment "delays/nowhere"',
      retryable: false,
    });
  });
});

describe('cancelling', () => {
  test('a run whose flow run waits: CANCELLED in Prefect', async () => {
    const id = await begun('c1');
    await system.journal.send(
      { workflow: 'report', runId: 'c1' },
      { v: 1, kind: 'cancel', reason: 'enough' },
      { msgId: 'cancel:c1' },
    );
    await poll(
      () => liveType(id),
      (type) => type === 'CANCELLED',
    );
    await system.until(REPORT, 'c1', ({ steps }) => steps['compute']?.flows[1]?.state.type === 'CANCELLED');
    host.ack(id);
  });

  test('a run whose flow run runs: CANCELLING, and the host is told', async () => {
    const id = await begun('c2');
    await set(id, 'PENDING');
    await set(id, 'RUNNING');
    const told = new Promise<unknown>((resolve) => {
      system.door.nc.subscribe(cancelSubject('report', 'c2'), {
        max: 1,
        callback: (_, message) => resolve(message.json()),
      });
    });
    await system.until(REPORT, 'c2', ({ steps }) => steps['compute']?.status === 'running');
    await system.journal.send(
      { workflow: 'report', runId: 'c2' },
      { v: 1, kind: 'cancel', reason: 'enough' },
      { msgId: 'cancel:c2' },
    );
    expect(await told).toEqual({
      ...{ v: 1, workflow: 'report', runId: 'c2', step: 'compute', attempt: 1, reason: 'the attempt is cancelled' },
    });
    expect(await liveType(id)).toBe('CANCELLING');
    await set(id, 'CANCELLED');
    host.ack(id);
    await system.until(REPORT, 'c2', ({ steps }) => steps['compute']?.flows[1]?.state.type === 'CANCELLED');
  });

  test('in Prefect cancels the run', async () => {
    const id = await begun('c3');
    await set(id, 'CANCELLED');
    const state = await system.until(REPORT, 'c3', ({ status }) => status === 'cancelled');
    expect(state.reason).toBe('by the test');
    host.ack(id);
  });
});

describe('what nobody reported', () => {
  test('RUNNING comes over the event socket', async () => {
    const id = await begun('e1');
    await set(id, 'PENDING');
    await set(id, 'RUNNING');
    const state = await system.until(REPORT, 'e1', ({ steps }) => steps['compute']?.status === 'running');
    expect(state.steps['compute']?.worker).toBe(`prefect:${id}`);
    await complete('e1', id);
    await system.until(REPORT, 'e1', ({ status }) => status === 'completed');
  });

  test('FAILED fails the run once the host no longer holds the dispatch', async () => {
    const id = await begun('f1');
    await set(id, 'PENDING');
    await set(id, 'RUNNING');
    await set(id, 'FAILED');
    host.ack(id);
    const state = await system.until(REPORT, 'f1', ({ status }) => status === 'failed');
    expect(state.error).toMatchObject({ code: 'MR_STEP_FAILED', message: 'by the test' });
  });

  test('COMPLETED is collected from a host', async () => {
    const id = await begun('f2');
    await set(id, 'PENDING');
    await set(id, 'RUNNING');
    await set(id, 'COMPLETED');
    host.ack(id);
    await poll(
      async () => dispatchesOf(id),
      (actions) => actions.includes('collect'),
    );
    expect((await system.state(REPORT, 'f2')).steps['compute']?.status).not.toBe('completed');
    await complete('f2', id);
    await system.until(REPORT, 'f2', ({ status }) => status === 'completed');
  });
});

describe('outages', () => {
  test('Prefect is away when the run starts: it gets its flow run when Prefect is back', async () => {
    await servers.prefect.kill();
    await system.start(REPORT, 'd1', 'hello');
    await system.until(REPORT, 'd1', ({ status }) => status === 'running');
    expect((await bridge.checks()).find(({ name }) => name === 'prefect')).toMatchObject({ ok: false });
    await servers.prefect.restart();
    const id = await flowRunIdOf(REPORT, 'd1');
    await complete('d1', id);
    await system.until(REPORT, 'd1', ({ status }) => status === 'completed');
    // The socket is back too.
    const later = await begun('d2');
    await set(later, 'PENDING');
    await set(later, 'RUNNING');
    await system.until(REPORT, 'd2', ({ steps }) => steps['compute']?.status === 'running');
    await complete('d2', later);
    await system.until(REPORT, 'd2', ({ status }) => status === 'completed');
  });

  test('Redis is away when the run starts: the sweep finds the run when Redis is back', async () => {
    await servers.redis.kill();
    await system.start(REPORT, 'd3', 'hello');
    await system.until(REPORT, 'd3', ({ status }) => status === 'running');
    await servers.redis.restart();
    const id = await flowRunIdOf(REPORT, 'd3');
    await complete('d3', id);
    await system.until(REPORT, 'd3', ({ status }) => status === 'completed');
  });

  test('nobody watches while a flow run ends and a run is cancelled: a new bridge repairs both', async () => {
    const ended = await begun('d4');
    const unwanted = await begun('d5');
    await bridge.stop();
    system.queue = undefined;
    await set(ended, 'FAILED');
    host.ack(ended);
    await system.journal.send(
      { workflow: 'report', runId: 'd5' },
      { v: 1, kind: 'cancel', reason: 'enough' },
      { msgId: 'cancel:d5' },
    );
    await system.until(REPORT, 'd5', ({ status }) => status === 'cancelled');
    expect((await compare()).disagreements.map(({ runId, stream, prefect: p }) => [runId, stream, p]).sort()).toEqual([
      ['d4', 'open', 'FAILED'],
      ['d5', 'cancelled', 'SCHEDULED'],
    ]);
    bridge = await startBridge(options());
    system.queue = bridge.queue;
    await system.until(REPORT, 'd4', ({ status }) => status === 'failed');
    await poll(
      () => liveType(unwanted),
      (type) => type === 'CANCELLED',
    );
    host.ack(unwanted);
  });

  test('NATS is killed and comes back: nothing is lost, everything goes on', async () => {
    const id = await begun('d8');
    await servers.nats.kill();
    await set(id, 'PENDING');
    await set(id, 'CANCELLED');
    await servers.nats.restart();
    await system.until(REPORT, 'd8', ({ status }) => status === 'cancelled');
    await complete('d9', await begun('d9'));
    await system.until(REPORT, 'd9', ({ status }) => status === 'completed');
  });

  test('the dispatch queue was emptied: the flow run is dispatched again', async () => {
    const id = await begun('d6');
    await system.door.jsm.streams.purge(STREAMS.flows, { filter: `flow.dispatch.${POOL}` });
    await poll(
      async () => dispatchesOf(id),
      (actions) => actions.length > 1,
    );
    await complete('d6', id);
    await system.until(REPORT, 'd6', ({ status }) => status === 'completed');
  });

  test('a flow run that was deleted in Prefect is a lost attempt', async () => {
    const id = await begun('d7');
    await fetch(`${servers.prefect.url}/flow_runs/${id}`, { method: 'DELETE' });
    const state = await system.until(REPORT, 'd7', ({ status }) => status === 'failed');
    expect(state.error).toMatchObject({ code: 'MR_STEP_LOST', lost: true });
    host.ack(id);
  });
});

test('afterwards streams and Prefect agree on every attempt', async () => {
  const { total, agree, disagreements } = await poll(compare, (result) => result.disagreements.length === 0);
  expect(disagreements).toEqual([]);
  expect(agree).toBe(total);
  expect(total).toBe(19);
});

test('checks say what works', async () => {
  expect(await bridge.checks()).toEqual([
    { name: 'prefect', ok: true, detail: `answers at ${servers.prefect.url}` },
    { name: 'reconcile queue', ok: true, detail: 'on Redis' },
  ]);
});
