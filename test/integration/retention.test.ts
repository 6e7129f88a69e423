/** Retention on a real server: what is due goes and frees the disk, what is open, pinned or kept longer stays whole, whoever dies. */
import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type NatsDoor, systemClock } from '../../src/drivers/index.ts';
import {
  type ControllerService,
  type Definition,
  fold,
  type Journal,
  openJournal,
  type RunRef,
  startController,
} from '../../src/engine/index.ts';
import { createClient, serveWorkflows, workflow } from '../../src/functions/index.ts';
import { RETENTION_BUCKET, workflowStream } from '../../src/kernel/index.ts';
import type { DefinitionStore } from '../../src/manifests/index.ts';
import { type Janitor, openPins, startJanitor } from '../../src/storage/index.ts';
import { define, type NatsKit, type Recorder, recorder, waitFor, withNats, workerStep } from '../kit/index.ts';
import { writeRun } from './cli-kit.ts';

const MINUTE = 60_000;
/** Ages far above what the test takes; the janitor's clock is put forward instead. */
const short = define('short', [workerStep('a')], { retention: { completedMs: 10 * MINUTE, failedMs: 60 * MINUTE } });
const slim = define('slim', [workerStep('a')], { retention: { completedMs: 10 * MINUTE } });
const kept = define('kept', [workerStep('a')]);

let kit: NatsKit;
let door: NatsDoor;
let journal: Journal;
let definitions: DefinitionStore;
let janitors: Janitor[] = [];
let services: ControllerService[] = [];

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  definitions = await kit.prepare([short, slim, kept]);
  journal = openJournal(door);
});
afterAll(() => kit?.stop());
afterEach(async () => {
  await Promise.all(janitors.map((janitor) => janitor.stop()));
  await Promise.all(services.map((service) => service.stop()));
  janitors = [];
  services = [];
});

async function janitor(aheadMs: number, into: Recorder = recorder()): Promise<Janitor> {
  const clock = { ...systemClock, now: () => Date.now() + aheadMs };
  const own = await startJanitor({
    ...{ door: await kit.door('janitor'), definitions, telemetry: into.telemetry, clock },
    everyMs: 20,
  });
  janitors.push(own);
  return own;
}

const start = (of: Definition) =>
  ({ v: 1, kind: 'start', digest: of.digest, payload: { text: 'x'.repeat(500) } }) as const;
const done = { v: 1, kind: 'task.succeeded', step: 'a', attempt: 1, output: 'y'.repeat(500) } as const;
const failed = {
  v: 1,
  kind: 'task.failed',
  step: 'a',
  attempt: 1,
  error: { code: 'X', message: 'no', retryable: false, lost: false },
} as const;

async function has(run: RunRef): Promise<boolean> {
  return (await journal.entries(run)).length > 0;
}

describe('retention', () => {
  it('purges what is due and nothing else; a retry by hand and a pin are respected', async () => {
    const runs = ['early', 'failed', 'again', 'open', 'pinned', 'late'].map((runId) => ({ workflow: 'short', runId }));
    const [early, fails, again, open, pinned, late] = runs as [RunRef, RunRef, RunRef, RunRef, RunRef, RunRef];
    await writeRun(door, short, early.runId, [start(short), done]);
    await writeRun(door, short, fails.runId, [start(short), failed]);
    await writeRun(door, short, again.runId, [start(short), failed, { v: 1, kind: 'retry' }]);
    await writeRun(door, short, open.runId, [start(short)]);
    await writeRun(door, short, pinned.runId, [start(short), done]);
    await writeRun(door, short, late.runId, [start(short), done]);
    const before = new Map(
      await Promise.all(runs.map(async (run) => [run.runId, await journal.entries(run)] as const)),
    );
    const pins = await openPins(door.nc);
    await pins.pin(pinned, 'me', 'evidence');
    await janitor(11 * MINUTE);
    await waitFor('the due runs to go', async () => !(await has(early)) && !(await has(late)));
    for (const run of [fails, again, open, pinned]) {
      expect(await journal.entries(run)).toEqual(before.get(run.runId));
      expect((await journal.inputsBetween(run, 0, Number.MAX_SAFE_INTEGER)).length).toBeGreaterThan(0);
    }
    expect(await journal.inputsBetween(early, 0, Number.MAX_SAFE_INTEGER)).toEqual([]);
    await pins.unpin(pinned);
    await waitFor('the unpinned run to go', async () => !(await has(pinned)));
    await janitors[0]?.stop();
    janitors = [];
    await janitor(61 * MINUTE);
    await waitFor('the failed run to go', async () => !(await has(fails)));
    expect(await has(again)).toBe(true);
    expect(await has(open)).toBe(true);
  });

  it('frees the disk, also behind a run that stays; two janitors share the work and one may die', async () => {
    const stream = workflowStream('slim');
    await writeRun(door, slim, 'first', [start(slim)]); // open: it stays, before all others
    const body = JSON.stringify({
      v: 1,
      cause: 1,
      at: Date.now(),
      transitions: [{ type: 'RunStarted', digest: slim.digest, payload: 'x'.repeat(8_000) }, { type: 'RunCompleted' }],
    });
    const COUNT = 5_000;
    for (let n = 0; n < COUNT; n += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, i) => door.js.publish(`wf.slim.log.r${n + i}`, body)));
    }
    const size = async (): Promise<number> => {
      const { stdout } = await promisify(execFile)('du', ['-sk', dirname(kit.server.logFile)]);
      return Number(stdout.split('\t')[0]);
    };
    const full = await size();
    const seen = recorder();
    const one = await janitor(11 * MINUTE, seen);
    await janitor(11 * MINUTE, seen);
    await waitFor('half of a sweep', async () => (await door.jsm.streams.info(stream)).state.messages < COUNT - 500);
    await one.stop();
    await waitFor(
      'all but the open run to go',
      async () => (await door.jsm.streams.info(stream)).state.messages === 2,
      60_000,
    );
    expect(await has({ workflow: 'slim', runId: 'first' })).toBe(true);
    await waitFor('the disk to be free', async () => (await size()) < full / 2, 60_000);
    expect(
      seen.counted('millrace_retention_runs_total', { workflow: 'slim', status: 'completed' }),
    ).toBeGreaterThanOrEqual(COUNT);
  });

  it('a late result for a purged run begins nothing, and is cleaned away in its turn', async () => {
    const run = { workflow: 'short', runId: 'gone' };
    services.push(await startController({ door: await kit.door('c'), definitions, telemetry: recorder().telemetry }));
    await journal.send(run, done, { msgId: 'late result' });
    await waitFor('the late result to be handled', async () => {
      const { ack_floor, num_pending } = await door.jsm.consumers.info(workflowStream('short'), 'controller');
      return num_pending === 0 && ack_floor.stream_seq >= 1;
    });
    expect(fold(run.workflow, run.runId, await journal.entries(run)).status).toBe('new');
    await janitor(61 * MINUTE);
    await waitFor(
      'the late result to go',
      async () => (await journal.inputsBetween(run, 0, Number.MAX_SAFE_INTEGER)).length === 0,
    );
  });

  it('a durable function says itself how long its runs are kept', async () => {
    const quick = workflow('quick', { retention: { completedMs: 10 * MINUTE } }, async () => 'done');
    expect(() => workflow('x', { retention: { completedMs: MINUTE } }, async () => 0)).toThrow(/two minutes/);
    const serving = await serveWorkflows([quick], { nats: await kit.door('quick') });
    const client = await createClient({ nats: door });
    const handle = await client.start(quick, null);
    expect(await handle.result()).toBe('done');
    expect((await definitions.current('quick'))?.retention).toEqual({ completedMs: 10 * MINUTE });
    const run = { workflow: 'quick', runId: handle.runId };
    expect(await has(run)).toBe(true);
    await serving.drain();
    await janitor(11 * MINUTE);
    await waitFor('the run of the function to go', async () => !(await has(run)));
    await client.close();
  });

  it('without retention nothing is looked at, and nobody claims the workflow', async () => {
    await writeRun(door, kept, 'old', [start(kept), done]);
    const { jsm } = door;
    await janitor(1_000 * MINUTE);
    const filter = `$KV.${RETENTION_BUCKET}.janitor.*`;
    const claims = await waitFor('the other workflows to be claimed', async () => {
      const { state } = await jsm.streams.info(`KV_${RETENTION_BUCKET}`, { subjects_filter: filter });
      const names = Object.keys(state.subjects ?? {}).map((subject) => subject.split('.').at(-1));
      return names.includes('short') && names.includes('slim') && names;
    });
    expect(claims).not.toContain('kept');
    expect(await has({ workflow: 'kept', runId: 'old' })).toBe(true);
  });
});
