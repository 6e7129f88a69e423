/** `millrace runs pin|unpin|pins|purge|export|import` on real servers. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startController } from '../../src/engine/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { define, type NatsKit, waitFor, withNats, workerStep } from '../kit/index.ts';
import { type CliResult, runCli } from '../kit/system.ts';
import { writeRun } from './cli-kit.ts';

const flow = define('flow', [workerStep('a')]);
const start = { v: 1, kind: 'start', digest: flow.digest, payload: { n: 1 } } as const;
const done = { v: 1, kind: 'task.succeeded', step: 'a', attempt: 1, output: 'y' } as const;

let here: NatsKit;
let there: NatsKit;
let dir: string;
const cli = (kit: NatsKit, ...args: readonly string[]): Promise<CliResult> =>
  runCli(args, { MILLRACE_NATS_URL: kit.url });

beforeAll(async () => {
  [here, there] = await Promise.all([withNats(), withNats()]);
  dir = await mkdtemp(join(tmpdir(), 'millrace-export-'));
  await here.prepare([flow]);
  const door = await here.door();
  await writeRun(door, flow, 'old', [start, done]);
  await writeRun(door, flow, 'evidence', [start, done]);
  await writeRun(door, flow, 'open', [start]);
});
afterAll(async () => {
  await Promise.all([here?.stop(), there?.stop()]);
  await rm(dir, { recursive: true, force: true });
});

describe('runs', () => {
  test('a pinned run survives the purge of its kind; unpinned it goes; an open one never does', async () => {
    expect(await cli(here, 'runs', 'pin', 'evidence', '--reason', 'the outage', '--json')).toMatchObject({ code: 0 });
    const pins: unknown = JSON.parse((await cli(here, 'runs', 'pins', '--json')).stdout);
    expect(pins).toMatchObject([{ workflow: 'flow', runId: 'evidence', reason: 'the outage' }]);
    expect(await cli(here, 'runs', 'purge', '--before', '0s')).toMatchObject({ code: 2 });
    const dry = await cli(here, 'runs', 'purge', '--before', '0s', '--dry-run', '--json');
    expect(JSON.parse(dry.stdout)).toMatchObject({ dryRun: true, runs: [{ runId: 'old' }] });
    expect(JSON.parse((await cli(here, 'runs', 'purge', '--before', '7d', '--yes', '--json')).stdout)).toMatchObject({
      runs: [],
    });
    const purged = await cli(here, 'runs', 'purge', '--before', '0s', '--yes', '--json');
    expect(JSON.parse(purged.stdout)).toMatchObject({ runs: [{ runId: 'old', status: 'completed' }] });
    const left: { runId: string }[] = JSON.parse((await cli(here, 'runs', 'list', '--json')).stdout);
    expect(left.map(({ runId }) => runId).sort()).toEqual(['evidence', 'open']);
    expect((await cli(here, 'runs', 'purge', '--before', 'yesterday', '--yes')).code).toBe(2);
  });

  test('export on one system, import on another: shown, told and replayed there, and acted on by nobody', async () => {
    const file = join(dir, 'run.jsonl');
    expect(await cli(here, 'runs', 'export', 'evidence', '-o', file)).toMatchObject({ code: 0 });
    const text = await readFile(file, 'utf8');
    expect((await cli(here, 'runs', 'export', 'evidence')).stdout).toBe(text);
    expect((await cli(there, 'runs', 'import', file)).stderr).toContain('MR_WORKFLOW_MISSING');
    const definitions = await there.prepare([{ ...flow }]);
    const controller = await startController({ door: await there.door(), definitions, telemetry: noTelemetry });
    const imported = await cli(there, 'runs', 'import', file, '--as', 'incident', '--json');
    expect(JSON.parse(imported.stdout)).toMatchObject({ runId: 'incident', status: 'completed', entries: 2 });
    const door = await there.door();
    await waitFor('the controller to have had the inputs', async () => {
      const { num_pending, num_ack_pending } = await door.jsm.consumers.info('WF_flow', 'controller');
      return num_pending === 0 && num_ack_pending === 0;
    });
    await controller.stop();
    expect((await door.jsm.streams.info('MR_EVENTS')).state.messages).toBe(0);
    expect((await door.jsm.streams.info('MR_TASKS')).state.messages).toBe(0);
    expect(await cli(there, 'replay', 'incident')).toMatchObject({ code: 0 });
    const told = await cli(there, 'runs', 'history', 'incident', '--json');
    const from = await cli(here, 'runs', 'history', 'evidence', '--json');
    const lines = (json: string): unknown =>
      (JSON.parse(json) as { history: { at: number; text: string; causeKind: string }[] }).history.map(
        ({ at, text: what, causeKind }) => [at, what, causeKind],
      );
    expect(lines(told.stdout)).toEqual(lines(from.stdout));
    expect((await cli(there, 'runs', 'import', file, '--as', 'incident')).stderr).toContain('MR_RUN_STATE');
    expect((await cli(here, 'runs', 'export', 'open')).stdout.split('\n')[0]).toContain('"status":"running"');
  });
});
