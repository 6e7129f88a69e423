/** `millrace reconcile --plan`, `--apply` and `--watch` against a real Prefect. No controller reconciles here: the command does. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ServerHandle, startNats, startPrefect } from '../../ops/stack/index.ts';
import { createPrefectClient, type Differences, type PrefectApi } from '../../src/bridge/index.ts';
import { runCli } from '../kit/system.ts';
import { ROOT } from '../kit/tidy/index.ts';
import { createDeployment, openSystem, poll, type SmallSystem, workflow } from './bridge-kit.ts';

const FLOW = 'delays';
const REPORT = workflow('report', `${FLOW}/main`);

let dir: string;
let nats: ServerHandle;
let server: ServerHandle;
let prefect: PrefectApi;
let system: SmallSystem;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-plan-'));
  [nats, server] = await Promise.all([
    startNats({ dir: join(dir, 'nats') }),
    startPrefect({ dir: join(dir, 'prefect') }),
  ]);
  prefect = createPrefectClient({ url: server.url });
  await createDeployment(server.url, FLOW, 'main');
  system = await openSystem(nats.url);
  await system.deploy(REPORT);
});

afterAll(async () => {
  await system?.close();
  await server?.stop();
  await nats?.stop();
  await rm(dir, { recursive: true, force: true });
});

const env = () => ({ MILLRACE_NATS_URL: nats.url, MILLRACE_PREFECT_URL: server.url });
const cli = (...args: readonly string[]) => runCli(['reconcile', ...args], env());

async function plan(): Promise<Differences> {
  const { stdout } = await cli('--plan', '--json');
  return JSON.parse(stdout) as Differences;
}

const classOf = async (runId: string): Promise<string | undefined> =>
  (await plan()).differences.find((one) => one.runId === runId)?.class;
/** Applies what is shown, round by round (created, then reported and handed out), until the run's class is that one. */
async function until(runId: string, wanted: string | undefined): Promise<void> {
  for (let round = 0; round < 5; round++) {
    const now = await classOf(runId);
    if (now === wanted) return;
    await cli('--apply');
    await poll(
      () => classOf(runId),
      (name) => name !== now,
      20_000,
    );
  }
  expect(await classOf(runId)).toBe(wanted);
}
const flowRunId = async (runId: string): Promise<string> =>
  (await system.state(REPORT, runId)).steps['compute']?.flows[1]?.flowRunId ?? '';
const began = async (runId: string): Promise<string> => {
  await system.start(REPORT, runId, 'hello');
  await system.until(REPORT, runId, ({ status }) => status === 'running');
  await until(runId, undefined);
  return flowRunId(runId);
};
const set = (id: string, type: 'PENDING' | 'RUNNING' | 'COMPLETED' | 'FAILED' | 'CANCELLED' | 'PAUSED') =>
  prefect.setState(id, { type, message: 'by the test', force: true });

test('a plan in a file: shown, carried out exactly, refused the second time', async () => {
  await system.start(REPORT, 'p1', 'hello');
  await system.until(REPORT, 'p1', ({ status }) => status === 'running');
  const file = join(dir, 'plan.json');
  const shown = await cli('--plan', '-o', file);
  expect(shown.code).toBe(1);
  expect(shown.stdout).toMatch(/p1 .*never-created .*create the flow run/);
  expect(await classOf('p1')).toBe('never-created');
  const applied = await cli('--apply', file, '--json');
  expect(applied).toMatchObject({ code: 0 });
  expect(JSON.parse(applied.stdout)).toEqual({ repaired: 1, waiting: 0, moved: 0 });
  expect(await classOf('p1')).toBe('created-unseen');
  const again = await cli('--apply', file);
  expect(again.code).not.toBe(0);
  expect(again.stderr).toMatch(/step compute of run p1 \(never-created\); nothing was done \(MR_PLAN_STALE\)/);
  expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ v: 1, looked: 1 });
  await until('p1', undefined);
});

test('a file that is none, and options that do not go together, are refused', async () => {
  const none = await cli('--apply', join(dir, 'nowhere.json'));
  expect([none.code, none.stderr]).toEqual([2, expect.stringMatching(/cannot read ".*nowhere\.json"/)]);
  const both = await cli('--plan', '--watch');
  expect([both.code, both.stderr]).toEqual([2, expect.stringMatching(/one of --plan, --apply and --watch/)]);
});

test.each([
  ['state-unseen', 'PENDING', 'running'],
  ['paused-there', 'PAUSED', 'running'],
  ['cancelled-there', 'CANCELLED', 'cancelled'],
] as const)('%s: what Prefect says reaches the run', async (name, type, status) => {
  const runId = `r-${name}`;
  const id = await began(runId);
  await set(id, type);
  expect(await classOf(runId)).toBe(name);
  expect((await cli('--apply')).code).toBe(0);
  await system.until(
    REPORT,
    runId,
    (state) => state.status === status && state.steps['compute']?.flows[1]?.state.type === type,
  );
});

test('failed-unseen: the host of an attempt that failed has died', async () => {
  const id = await began('r-failed');
  const { jsm } = system.door;
  await jsm.streams.purge('MR_FLOWS'); // nobody holds its dispatch
  await set(id, 'FAILED');
  // What is on the queue is remembered for a second.
  await poll(
    () => classOf('r-failed'),
    (name) => name === 'failed-unseen',
  );
  await cli('--apply');
  await system.until(REPORT, 'r-failed', ({ steps }) => steps['compute']?.flows[1]?.state.type === 'FAILED');
});

test('deleted-there: the attempt is lost, which is told apart from a failure', async () => {
  const id = await began('r-deleted');
  const response = await fetch(`${server.url}/flow_runs/${id}`, { method: 'DELETE' });
  expect(response.status).toBe(204);
  expect(await classOf('r-deleted')).toBe('deleted-there');
  await cli('--apply');
  const { error } = await system.until(REPORT, 'r-deleted', ({ status }) => status === 'failed'); // maxLost is 0 here
  expect(error).toMatchObject({ lost: true });
});

test('cancelled-here: Prefect is set to what the log says', async () => {
  const id = await began('r-cancelled');
  await system.journal.send(
    { workflow: REPORT.name, runId: 'r-cancelled' },
    { v: 1, kind: 'cancel', reason: 'enough' },
    { msgId: 'cancel-r' },
  );
  await system.until(REPORT, 'r-cancelled', ({ status }) => status === 'cancelled');
  expect(await classOf('r-cancelled')).toBe('cancelled-here');
  await cli('--apply');
  expect((await prefect.readFlowRun(id))?.state?.type).toMatch(/^CANCELL/);
});

test('--watch tells what appears, until it is told to end', async () => {
  const args = ['--import', 'tsx', 'src/cli/main.ts', 'reconcile', '--watch', '--interval', '200ms', '--json'];
  const child = spawn(process.execPath, args, { cwd: ROOT, env: { ...process.env, ...env() } });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const appeared = new Promise<string>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      if (line.includes('r-watched')) resolve(line);
    });
  });
  await system.start(REPORT, 'r-watched', 'hello');
  expect(JSON.parse(await appeared)).toMatchObject({ change: 'appeared', class: 'never-created', runId: 'r-watched' });
  child.kill('SIGINT');
  expect(await ended).toBe(0);
});
