/** The flow host when something it stands on, or it itself, goes away in the middle of a flow. */
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type ServerHandle, startNats, startPrefect } from '../../ops/stack/index.ts';
import { connectNats, type NatsDoor } from '../../src/drivers/index.ts';
import type { DispatchMessage } from '../../src/engine/index.ts';
import { HostWorld, isAlive, poll, states } from './host-kit.ts';

let dir: string;
let nats: ServerHandle;
let prefect: ServerHandle;
let door: NatsDoor;
let world: HostWorld;
const hosts: ServerHandle[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-host-outage-'));
  [nats, prefect] = await Promise.all([
    startNats({ dir: join(dir, 'nats') }),
    startPrefect({ dir: join(dir, 'prefect') }),
  ]);
  door = await connectNats({ url: nats.url, name: 'host-outage-test' });
  world = new HostWorld(door, prefect, dir);
  await world.prepare();
});

afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.stop()));
});

afterAll(async () => {
  await door?.close();
  await Promise.all([nats?.stop(), prefect?.stop()]);
  await rm(dir, { recursive: true, force: true });
});

async function openHost(name: string, env: Readonly<Record<string, string>> = {}): Promise<ServerHandle> {
  const host = await world.host(name, { ...nats.env, MILLRACE_HOST_PROCESSES: '1', ...env });
  hosts.push(host);
  return host;
}

/** Starts a flow that runs until it is released; gives its process. */
async function holding(name: string): Promise<{ message: DispatchMessage; pid: number; release: () => void }> {
  const parameters = { file: world.file(name), until: world.file(`${name}.go`) };
  const message = await world.run('holds', parameters);
  const begun = (lines: string[]) => lines.length > 0;
  const [pid] = await poll(() => world.lines(name), begun, 'the flow begins');
  return { message, pid: Number(pid), release: () => writeFileSync(parameters.until, '') };
}

const gone = (pid: number): Promise<boolean> =>
  poll(
    () => isAlive(pid),
    (alive) => !alive,
    `process ${pid} ends`,
  );

/** The test's own connection comes back when it likes. */
const natsIsBack = (): Promise<boolean> =>
  poll(
    () =>
      door.jsm.getAccountInfo().then(
        () => true,
        () => false,
      ),
    (back) => back,
    'NATS is back',
  );

test('a host that is killed takes its flow along, and the next one says that it is lost (C1)', async () => {
  const first = await openHost('killed');
  const { message, pid } = await holding('killed-flow');
  await first.kill({ alone: true });
  await gone(pid);

  await openHost('heir');
  const inputs = await world.until(message, 'CRASHED');
  expect(states(inputs)).toEqual(['PENDING', 'RUNNING', 'CRASHED']);
  expect(inputs.at(-1)?.error).toMatchObject({ code: 'MR_STEP_LOST', lost: true, retryable: true });
  expect((await world.inPrefect(message)).type).toBe('CRASHED');
  await world.settled();
  expect(world.lines('killed-flow')).toEqual([String(pid)]);
});

test('a host asked to stop lets its flow finish and takes no other', async () => {
  const first = await openHost('patient', { MILLRACE_HOST_DRAIN_SECONDS: '30' });
  const { message, release } = await holding('patient-flow');
  const stopped = first.stop();
  await poll(
    () => fetch(`${first.url}/readyz`),
    ({ status }) => status === 503,
    'the host stops',
  );
  const other = await world.run('sum-of-doubles', { numbers: [1] });
  release();
  await stopped;
  expect(states(await world.inputs(message))).toEqual(['PENDING', 'RUNNING', 'COMPLETED']);
  expect(await world.inputs(other)).toEqual([]);

  await openHost('successor');
  await world.until(other, 'COMPLETED');
});

test('a host that may not wait ends its flow as lost', async () => {
  const first = await openHost('hasty', { MILLRACE_HOST_DRAIN_SECONDS: '0' });
  const { message, pid } = await holding('hasty-flow');
  await first.stop();
  await gone(pid);
  const inputs = await world.inputs(message);
  expect(states(inputs)).toEqual(['PENDING', 'RUNNING', 'CRASHED']);
  expect(inputs.at(-1)?.error).toMatchObject({ code: 'MR_STEP_LOST', lost: true });
  await world.settled();
});

test('with NATS away for less than the ack wait a flow goes on (negative twin of the next)', async () => {
  await openHost('short-outage');
  const { message, pid, release } = await holding('short-flow');
  await nats.kill();
  await nats.restart();
  await natsIsBack();
  expect(isAlive(pid)).toBe(true);
  release();
  const inputs = await world.until(message, 'COMPLETED');
  expect(states(inputs)).toEqual(['PENDING', 'RUNNING', 'COMPLETED']);
  await world.settled();
});

test('with NATS away for longer than the ack wait its flow is killed before anything else (L1, A3)', async () => {
  await openHost('fenced');
  const { message, pid } = await holding('fenced-flow');
  await nats.kill();
  await gone(pid);
  await nats.restart();
  await natsIsBack();
  const inputs = await world.until(message, 'CRASHED');
  expect(states(inputs)).toEqual(['PENDING', 'RUNNING', 'CRASHED']);
  expect(inputs.at(-1)?.error).toMatchObject({ lost: true });
  expect((await world.inPrefect(message)).type).toBe('CRASHED');
  await world.settled();
});

test('with Prefect away a dispatch waits in one delivery, and a flow that ends meanwhile is told after it (W4)', async () => {
  await openHost('no-prefect', { MILLRACE_HOST_PROCESSES: '2' });
  const { message: running, release } = await holding('offline-flow');
  const waiting = await world.flowRun('sum-of-doubles', { numbers: [7] });
  await prefect.kill();
  await world.dispatch(waiting);
  release();
  await poll(
    () => world.lines('offline-flow'),
    (lines) => lines.includes('left'),
    'the flow function ends',
  );
  expect(await world.inputs(waiting)).toEqual([]);
  await prefect.restart();

  expect((await world.until(running, 'COMPLETED')).at(-1)?.result).toBe('released');
  expect((await world.until(waiting, 'COMPLETED')).at(-1)?.result).toEqual({ total: 14 });
  await world.settled();
});

test('a host that starts before its servers says so and waits for them', async () => {
  const message = await world.flowRun('sum-of-doubles', { numbers: [2] });
  await Promise.all([nats.kill(), prefect.kill()]);
  const starting = openHost('early');
  await Promise.all([nats.restart(), prefect.restart()]);
  await starting;
  await natsIsBack();
  await world.dispatch(message);
  await world.until(message, 'COMPLETED');
});
