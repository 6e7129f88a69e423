/** The flow host (ops/prefect/host) against real NATS and Prefect. Numbers in brackets are invariants of its modules. */

import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ServerHandle, startNats, startPrefect } from '../../ops/stack/index.ts';
import { connectNats, type NatsDoor } from '../../src/drivers/index.ts';
import type { DispatchMessage } from '../../src/engine/index.ts';
import { cancelSubject, dispatchSubject, STREAMS } from '../../src/kernel/index.ts';
import { HostWorld, isAlive, poll, readAll, states, WORKFLOW } from './host-kit.ts';

let dir: string;
let nats: ServerHandle;
let prefect: ServerHandle;
let door: NatsDoor;
let world: HostWorld;
let host: ServerHandle;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-host-'));
  [nats, prefect] = await Promise.all([
    startNats({ dir: join(dir, 'nats') }),
    startPrefect({ dir: join(dir, 'prefect') }),
  ]);
  door = await connectNats({ url: nats.url, name: 'host-test' });
  world = new HostWorld(door, prefect, dir);
  await world.prepare();
  host = await world.host('host', nats.env);
});

afterAll(async () => {
  await host?.stop();
  await door?.close();
  await Promise.all([nats?.stop(), prefect?.stop()]);
  await rm(dir, { recursive: true, force: true });
});

/** Starts a flow that runs until it is released; gives its process. */
async function holding(name: string): Promise<{ message: DispatchMessage; pid: number; release: () => void }> {
  const parameters = { file: world.file(name), until: world.file(`${name}.go`) };
  const message = await world.run('holds', parameters);
  const [pid] = await poll(
    () => world.lines(name),
    (lines) => lines.length > 0,
    'the flow begins',
  );
  return { message, pid: Number(pid), release: () => writeFileSync(parameters.until, '') };
}

describe('a flow run that ends well', () => {
  test('is reported state by state, with its result, and acknowledged after that (A2)', async () => {
    const message = await world.run('sum-of-doubles', { numbers: [1, 2, 3] });
    const inputs = await world.until(message, 'COMPLETED');
    await world.settled();

    expect(states(inputs)).toEqual(['PENDING', 'RUNNING', 'COMPLETED']);
    expect(inputs.map(({ result }) => result)).toEqual([undefined, undefined, { total: 12 }]);
    expect(inputs.every(({ source, flowRunId }) => source === 'host' && flowRunId === message.flowRunId)).toBe(true);
    expect((await world.inPrefect(message)).type).toBe('COMPLETED');
  });

  test('tells every state of the flow and of each task as an event', async () => {
    const message = await world.run('sum-of-doubles', { numbers: [1, 2] });
    await world.until(message, 'COMPLETED');
    await world.settled();

    const prefix = `${WORKFLOW}.${message.runId}.compute`;
    const subjects = async (kind: 'flow' | 'task') => (await world.events(kind, message)).map(({ subject }) => subject);
    expect(await subjects('flow')).toEqual(
      ['PENDING', 'RUNNING', 'COMPLETED'].map((type) => `evt.flow.${prefix}.${type}`),
    );
    const ofTask = (name: string) => ['RUNNING', 'COMPLETED'].map((type) => `evt.task.${prefix}.${name}.${type}`);
    expect(await subjects('task')).toEqual([...ofTask('double'), ...ofTask('double'), ...ofTask('total')]);
  });

  test('may be a coroutine', async () => {
    const message = await world.run('async-sum', { numbers: [4, 5] });
    expect((await world.until(message, 'COMPLETED')).at(-1)?.result).toBe(9);
  });

  test('tells a retry of the flow as the states it goes through', async () => {
    const message = await world.run('retries-once', { key: 'a' });
    const inputs = await world.until(message, 'COMPLETED');
    const names = inputs.map(({ state }) => state.name);
    expect(names).toEqual(['Pending', 'Running', 'AwaitingRetry', 'Retrying', 'Completed']);
    expect(inputs.at(-1)?.result).toBe('the second time');
  });

  test('runs once, however often it is dispatched (A1, H2)', async () => {
    const file = world.file('once');
    const message = await world.flowRun('sum-of-doubles', { numbers: [1], file });
    for (const n of [1, 2, 3]) await world.dispatch(message, n);
    await world.until(message, 'COMPLETED');
    await world.dispatch(message, 4);
    await world.settled();

    expect(world.lines('once')).toEqual(['began']);
    expect(states(await world.inputs(message))).toEqual(['PENDING', 'RUNNING', 'COMPLETED']);
  });
});

describe('a flow run that fails', () => {
  test('reports FAILED with its message, and may be tried again', async () => {
    const message = await world.run('fails', {});
    const last = (await world.until(message, 'FAILED')).at(-1);
    expect(last?.state.message).toContain('there is no such airport');
    expect(last?.error).toBeUndefined();
  });

  test.each([
    ['unknown', { numbers: [1], batch: 1 }, "expects parameters ['numbers', 'file'] but was provided with"],
    ['missing', {}, "missing a required argument: 'numbers'"],
  ])('reports FAILED, not lost, when a parameter is %s', async (_what, parameters, why) => {
    const message = await world.run('sum-of-doubles', parameters);
    const inputs = await world.until(message, 'FAILED');
    const last = inputs.at(-1)?.state.message;
    expect(last).toContain('the flow of sum-of-doubles/main does not take these parameters: ');
    expect(last).toContain(why);
    expect((await world.inPrefect(message)).type).toBe('FAILED');
  });

  test.each([
    ['not-json', 'MR_OUTPUT_INVALID'],
    ['too-large', 'MR_PAYLOAD_TOO_LARGE'],
  ])('%s: a return value that cannot be told fails on both sides with %s (W3)', async (flow, code) => {
    const message = await world.run(flow, {});
    const inputs = await world.until(message, 'FAILED');
    expect(states(inputs)).toEqual(['PENDING', 'RUNNING', 'FAILED']);
    expect(inputs.at(-1)?.error).toMatchObject({ code, retryable: false, lost: false });
    expect((await world.inPrefect(message)).type).toBe('FAILED');
  });

  test('whose process dies is lost, and the next one finds a new process (A4)', async () => {
    const message = await world.run('kills-itself', {});
    const inputs = await world.until(message, 'CRASHED');
    expect(states(inputs)).toEqual(['PENDING', 'RUNNING', 'CRASHED']);
    expect(inputs.at(-1)?.error).toMatchObject({ code: 'MR_STEP_LOST', lost: true, retryable: true });
    expect(inputs.at(-1)?.error?.message).toContain('SIGKILL');
    expect((await world.inPrefect(message)).type).toBe('CRASHED');

    const next = await Promise.all([1, 2, 3].map((n) => world.run('sum-of-doubles', { numbers: [n] })));
    for (const each of next) await world.until(each, 'COMPLETED');
    await world.settled();
  });

  test('that Prefect does not know is lost', async () => {
    const known = await world.flowRun('sum-of-doubles', { numbers: [] });
    const message = await world.dispatch({ ...known, flowRunId: '00000000-0000-4000-8000-000000000000' });
    const inputs = await world.until(message, 'CRASHED');
    expect(inputs).toHaveLength(1);
    expect(inputs[0]?.error).toMatchObject({ code: 'MR_STEP_LOST', lost: true });
  });
});

describe('cancelling', () => {
  const cancelled = ['PENDING', 'RUNNING', 'CANCELLING', 'CANCELLED'];

  test('by message ends the process and both sides', async () => {
    const { message, pid } = await holding('cancel-message');
    const { workflow, runId, step, attempt } = message;
    const body = { v: 1, workflow, runId, step, attempt, reason: 'no longer wanted' };
    door.nc.publish(cancelSubject(WORKFLOW, runId), JSON.stringify(body));
    const inputs = await world.until(message, 'CANCELLED');

    expect(states(inputs)).toEqual(cancelled);
    expect(inputs.at(-1)?.state.message).toBe('no longer wanted');
    expect((await world.inPrefect(message)).type).toBe('CANCELLED');
    await poll(
      () => isAlive(pid),
      (alive) => !alive,
      'the process ends',
    );
    // The flow's own clean-up ran.
    expect(world.lines('cancel-message').at(-1)).toBe('left');
    await world.settled();
  });

  test('of another attempt changes nothing (negative twin)', async () => {
    const { message, release } = await holding('cancel-other');
    const { workflow, runId, step } = message;
    const body = { v: 1, workflow, runId, step, attempt: 2, reason: 'no longer wanted' };
    door.nc.publish(cancelSubject(WORKFLOW, runId), JSON.stringify(body));
    await door.nc.flush();
    release();
    expect(states(await world.until(message, 'COMPLETED'))).toEqual(['PENDING', 'RUNNING', 'COMPLETED']);
  });

  test('in Prefect is seen and carried out', async () => {
    const { message, pid } = await holding('cancel-prefect');
    const state = { type: 'CANCELLING', name: 'Cancelling', message: 'by hand' };
    await world.api('POST', `/flow_runs/${message.flowRunId}/set_state`, { state, force: false });
    const inputs = await world.until(message, 'CANCELLED');
    expect(states(inputs).at(-1)).toBe('CANCELLED');
    expect((await world.inPrefect(message)).type).toBe('CANCELLED');
    await poll(
      () => isAlive(pid),
      (alive) => !alive,
      'the process ends',
    );
  });
});

test('suspending a flow run in Prefect stops it at its next task and ends the dispatch', async () => {
  const message = await world.run('steps-on', { file: world.file('steps') });
  await poll(
    () => world.lines('steps'),
    (lines) => lines.length > 0,
    'the flow begins',
  );
  const state = { type: 'PAUSED', name: 'Suspended' };
  await world.api('POST', `/flow_runs/${message.flowRunId}/set_state`, { state, force: true });
  expect(states(await world.until(message, 'PAUSED')).at(-1)).toBe('PAUSED');
  await world.settled();
  expect((await world.inPrefect(message)).type).toBe('PAUSED');
});

describe('collecting', () => {
  /** A flow run that ended in Prefect while nobody reported it: its host died in between. */
  async function unreported(type: string, message: string): Promise<DispatchMessage> {
    const dispatch = await world.flowRun('sum-of-doubles', { numbers: [5] });
    const state = { type, name: type.charAt(0) + type.slice(1).toLowerCase(), message };
    await world.api('POST', `/flow_runs/${dispatch.flowRunId}/set_state`, { state, force: true });
    return dispatch;
  }

  test.each(['run', 'collect'] as const)('a %s of one that completed reports the result', async (action) => {
    const message = await unreported('COMPLETED', 'done');
    // What a host writes before it asks Prefect for COMPLETED (F2).
    writeFileSync(join(dir, 'home', 'results', `${message.flowRunId}.json`), '{"total":10}');
    await world.dispatch({ ...message, action });
    const inputs = await world.until(message, 'COMPLETED');
    expect(inputs).toHaveLength(1);
    expect(inputs[0]?.result).toEqual({ total: 10 });
  });

  test('one that failed reports its message', async () => {
    const message = await unreported('FAILED', 'it rained');
    await world.dispatch({ ...message, action: 'collect' });
    expect((await world.until(message, 'FAILED'))[0]?.state.message).toBe('it rained');
  });

  test('one whose result is gone says that it is lost, on both sides', async () => {
    const message = await unreported('COMPLETED', 'done');
    await world.dispatch({ ...message, action: 'collect' });
    const inputs = await world.until(message, 'CRASHED');
    expect(inputs.at(-1)?.error).toMatchObject({ code: 'MR_STEP_LOST', lost: true, retryable: true });
    expect((await world.inPrefect(message)).type).toBe('CRASHED');
  });
});

describe('a malformed dispatch', () => {
  test.each([
    ['{"v":1,"action":', 'MR_NOT_JSON'],
    ['{"v":1,"action":"walk","workflow":"hosted","runId":"r9"}', 'MR_INPUT_INVALID'],
  ])('%s becomes a dead letter and is not delivered again (H3)', async (text, code) => {
    const headers = (await import('nats')).headers();
    headers.set('traceparent', 'kept');
    headers.set('Nats-Msg-Id', `bad:${code}`);
    const { seq } = await door.js.publish(dispatchSubject('default'), text, { headers });
    await world.settled();
    const letters = await readAll(door, STREAMS.dead, 'dead.flow.>');
    const letter = letters.find(({ headers: found }) => found['Millrace-Origin-Sequence'] === String(seq));
    expect(new TextDecoder().decode(letter?.data)).toBe(text);
    expect(letter?.headers).toMatchObject({
      traceparent: 'kept',
      'Millrace-Code': code,
      'Millrace-Origin-Stream': STREAMS.flows,
      'Millrace-Origin-Subject': dispatchSubject('default'),
      'Nats-Msg-Id': `dead:${STREAMS.flows}:${seq}`,
    });
  });
});

describe('health and figures', () => {
  test('are answered', async () => {
    const get = async (path: string) => fetch(`${host.url}${path}`);
    expect((await get('/healthz')).status).toBe(200);
    expect(await (await get('/readyz')).json()).toMatchObject({ status: 'ready' });
    expect(await (await get('/metrics')).text()).toMatch(/millrace_host_flow_states_total\{type="COMPLETED"\} \d+/);
    expect((await get('/nothing')).status).toBe(404);
  });
});
