/**
 * prefect-nats: Prefect's message bus on JetStream. Its own tests (Python, against Prefect's memory broker and ours), then a
 * real Prefect on it, with the bridge reading the stream instead of the socket, and nats-server killed in the middle.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Msg } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requirePart } from '../../ops/provision/index.ts';
import { prefectPython, type ServerHandle, startNats, startPrefect } from '../../ops/stack/index.ts';
import { type Bridge, createPrefectClient, type PrefectApi, startBridge } from '../../src/bridge/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { runCli } from '../kit/system.ts';
import {
  createDeployment,
  openHost,
  openSystem,
  poll,
  type SmallHost,
  type SmallSystem,
  workflow,
} from './bridge-kit.ts';

const FLOW = 'delays';
const REPORT = workflow('report', `${FLOW}/main`);
const PREFECT_DIR = fileURLToPath(new URL('../../ops/prefect', import.meta.url));

let dir: string;
let nats: ServerHandle;
let server: ServerHandle;
let prefect: PrefectApi;
let system: SmallSystem;
let host: SmallHost;
let bridge: Bridge;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-prefect-nats-'));
  nats = await startNats({ dir: join(dir, 'nats') });
  server = await startPrefect({ dir: join(dir, 'prefect'), messaging: { natsUrl: nats.url } });
  prefect = createPrefectClient({ url: server.url });
  await createDeployment(server.url, FLOW, 'main');
  system = await openSystem(nats.url);
  await system.deploy(REPORT);
  host = await openHost(system.door);
  bridge = await startBridge({
    ...{ door: system.door, journal: system.journal, definitions: system.definitions },
    prefectUrl: server.url,
    events: 'stream',
    telemetry: noTelemetry,
    // No sweep in the time of this test: what the run learns, it learns from the stream.
    sweepMs: 3_600_000,
  });
  system.queue = bridge.queue;
});

afterAll(async () => {
  await bridge?.stop();
  await host?.stop();
  await system?.close();
  await server?.stop();
  await nats?.stop();
  await rm(dir, { recursive: true, force: true });
});

/** The flow run of the run's only attempt, once a host has been asked to execute it. */
async function dispatched(runId: string): Promise<string> {
  await system.start(REPORT, runId, 'hello');
  const state = await system.until(REPORT, runId, ({ steps }) => steps['compute']?.flows[1] !== undefined);
  const id = state.steps['compute']?.flows[1]?.flowRunId ?? '';
  const sent = async () => host.dispatches.filter(({ flowRunId }) => flowRunId === id);
  await poll(sent, ({ length }) => length > 0);
  return id;
}

/** State changes of a flow run as others see them: literal subjects in the stream of events, oldest first. */
async function changesOf(id: string): Promise<readonly string[]> {
  const { streams } = system.door.jsm;
  const { state } = await streams.info('PREFECT_EVENTS', { subjects_filter: `prefect.flow-run.*.*.${id}` });
  const found: { readonly seq: number; readonly subject: string }[] = [];
  for (const subject of Object.keys(state.subjects ?? {})) {
    const msg = await streams.getMessage('PREFECT_EVENTS', { last_by_subj: subject });
    if (msg !== null) found.push({ seq: msg.seq, subject });
  }
  return found.sort((a, b) => a.seq - b.seq).map(({ subject }) => subject);
}

test('the messaging module passes the contract that Prefect’s memory broker passes, and outlives its server', async () => {
  const python = await prefectPython();
  const binary = await requirePart('nats');
  const env = {
    ...process.env,
    PYTHONDONTWRITEBYTECODE: '1',
    DO_NOT_TRACK: '1',
    PREFECT_HOME: join(dir, 'python-home'),
    PREFECT_NATS_URL: nats.url,
    PREFECT_TEST_NATS_SERVER: binary.command,
  };
  const args = ['-m', 'unittest', 'discover', '-s', 'tests_messaging', '-t', '.'];
  const output = await new Promise<string>((resolve, reject) => {
    execFile(python, args, { cwd: PREFECT_DIR, env, timeout: 110_000, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout + stderr);
      else reject(new Error(stdout + stderr));
    });
  });
  expect(output).toMatch(/Ran [1-9]\d* tests in [\s\S]*OK/);
});

describe('a real Prefect on it', () => {
  test('each state change is one message on a literal subject, and the run learns it from there', async () => {
    const id = await dispatched('r-events');
    await prefect.setState(id, { type: 'PENDING', message: 'by the test' });
    await prefect.setState(id, { type: 'RUNNING', message: 'by the test' });
    const state = await system.until(
      REPORT,
      'r-events',
      ({ steps }) => steps['compute']?.flows[1]?.state.type === 'RUNNING',
    );
    expect(state.steps['compute']?.status).toBe('running');
    const changes = await poll(
      () => changesOf(id),
      ({ length }) => length === 3,
    );
    expect(changes).toEqual(['SCHEDULED', 'PENDING', 'RUNNING'].map((type) => `prefect.flow-run.${type}.main.${id}`));
  });

  test('anything can bind to a state: a core subscription on one literal subject hears of it', async () => {
    const id = await dispatched('r-bound');
    const heard = new Promise<Msg>((resolve) => {
      system.door.nc.subscribe(`prefect.flow-run.CANCELLED.main.${id}`, {
        max: 1,
        callback: (error, msg) => {
          if (error === null) resolve(msg);
        },
      });
    });
    await system.door.nc.flush();
    await prefect.setState(id, { type: 'CANCELLED', message: 'by a person' });
    const event = (await heard).json<{ event: string; resource: Record<string, string> }>();
    expect(event.event).toBe('prefect.flow-run.Cancelled');
    expect(event.resource['prefect.state-message']).toBe('by a person');
    await system.until(REPORT, 'r-bound', ({ status }) => status === 'cancelled');
  });

  test('`events tail` shows them, by deployment and state', async () => {
    const args = [
      'events',
      'tail',
      '--deployment',
      'main',
      '--state',
      'cancelled',
      '--since',
      '1h',
      '-n',
      '1',
      '--json',
    ];
    const { code, stdout } = await runCli(args, { MILLRACE_NATS_URL: nats.url });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ kind: 'prefect', state: 'Cancelled', message: 'by a person' });
  });

  test('what Prefect accepted while nats-server was dead arrives when it is back', async () => {
    const id = await dispatched('r-outage');
    await prefect.setState(id, { type: 'PENDING', message: 'by the test' });
    await nats.kill();
    const answer = await prefect.setState(id, { type: 'RUNNING', message: 'while the broker was away' });
    expect(answer?.status).toBe('ACCEPT');
    await nats.restart();
    await system.until(REPORT, 'r-outage', ({ steps }) => steps['compute']?.flows[1]?.state.type === 'RUNNING');
    const changes = await poll(
      () => changesOf(id),
      ({ length }) => length === 3,
    );
    expect(changes.map((subject) => subject.split('.')[2])).toEqual(['SCHEDULED', 'PENDING', 'RUNNING']);
  });
});
