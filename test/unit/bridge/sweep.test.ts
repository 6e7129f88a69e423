/** The sweep (S1 to S3), the projection it stands on (O1, O2), and the comparison of everything. */
import { beforeEach, describe, expect, test } from 'vitest';
import { compareAll } from '../../../src/bridge/index.ts';
import { Reconciler, Sweep } from '../../../src/bridge/reconcile/index.ts';
import { OpenFlowsOfWorkflow } from '../../../src/bridge/reconcile/open-flows.ts';
import { MemoryJournal, type ReconcileKey } from '../../../src/engine/index.ts';
import { noTelemetry } from '../../../src/telemetry/index.ts';
import { DEFINITION, definitions, drive, FakeClock, FakeDispatches, FakePrefect, send, startInput } from './kit.ts';

let clock: FakeClock;
let journal: MemoryJournal;
let prefect: FakePrefect;
let dispatches: FakeDispatches;
let flows: OpenFlowsOfWorkflow;
let enqueued: ReconcileKey[];
let sweep: Sweep;
let reconciler: Reconciler;
const seen = new Map<string, number>();

const key = (runId: string, attempt = 1): ReconcileKey => ({ workflow: 'report', runId, step: 'compute', attempt });

beforeEach(() => {
  clock = new FakeClock();
  journal = new MemoryJournal({ clock, mode: 'manual' });
  prefect = new FakePrefect(clock);
  dispatches = new FakeDispatches();
  flows = new OpenFlowsOfWorkflow('report');
  enqueued = [];
  seen.clear();
  const ports = { definitions: definitions(), prefect, dispatches, clock, telemetry: noTelemetry };
  reconciler = new Reconciler({ ...ports, journal });
  sweep = new Sweep({
    ...ports,
    openFlows: Object.assign(flows, { add: () => undefined }),
    queue: { enqueue: async (k) => void enqueued.push(k) },
  });
});

/** What the ordered consumer would have fed by now. */
async function feed(...runIds: string[]): Promise<void> {
  for (const runId of runIds) {
    for (const entry of await journal.entries({ workflow: 'report', runId })) {
      if (entry.seq <= (seen.get(runId) ?? 0)) continue;
      seen.set(runId, entry.seq);
      flows.apply(runId, entry, clock.now());
    }
  }
}

/** A run with a dispatched flow run, known to the projection. */
async function dispatched(runId: string): Promise<string> {
  await send(journal, runId, startInput('x'));
  await reconciler.reconcile(key(runId));
  await drive(journal, runId);
  await feed(runId);
  return `flow-${prefect.runs.size}`;
}

const swept = async (): Promise<string[]> => (await sweep.once()).enqueued.map(({ runId }) => runId);
const watched = (): string[] => [...flows.watched()].map(({ key: k }) => `${k.runId}/${k.attempt}`);

describe('what the sweep finds', () => {
  test('nothing, where both sides agree', async () => {
    await dispatched('r1');
    expect(await swept()).toEqual([]);
    clock.advance(60_000);
    expect(await swept()).toEqual([]);
  });

  test('an attempt that has had no flow run for some seconds', async () => {
    await send(journal, 'r1', startInput('x'));
    await feed('r1');
    expect(await swept()).toEqual([]);
    clock.advance(3_000);
    expect(await swept()).toEqual(['r1']);
  });

  test('a flow run that ended behind our back, once its host has let go of it', async () => {
    const id = await dispatched('r1');
    prefect.put(id, 'FAILED');
    clock.advance(5_000);
    expect(await swept()).toEqual([]);
    dispatches.held.clear();
    expect(await swept()).toEqual(['r1']);
  });

  test('a dispatch that got lost, and a flow run that nobody runs any more', async () => {
    await dispatched('r1');
    prefect.put(await dispatched('r2'), 'RUNNING');
    dispatches.held.clear();
    clock.advance(30_000);
    expect(await swept()).toEqual(['r1', 'r2']);
  });

  test('S2: an attempt that is over until Prefect agrees, then no more', async () => {
    const id = await dispatched('r1');
    await send(journal, 'r1', { v: 1, kind: 'cancel', reason: 'enough' });
    await feed('r1');
    expect(await swept()).toEqual(['r1']);
    await reconciler.reconcile(key('r1'));
    await drive(journal, 'r1');
    await feed('r1');
    expect(prefect.typeOf(id)).toBe('CANCELLED');
    expect(await swept()).toEqual([]);
    expect(watched()).toEqual(['r1/1']);
    clock.advance(10_000);
    expect(await swept()).toEqual([]);
    expect(watched()).toEqual([]);
  });

  test('S3: a flow run of ours that no log tells of, but not one of another installation', async () => {
    await send(journal, 'r1', startInput('x'));
    await send(journal, 'r1', { v: 1, kind: 'cancel', reason: 'enough' });
    const request = (workflow: string) => ({
      name: 'n',
      idempotencyKey: `${workflow}/r1`,
      tags: ['millrace'],
      labels: {
        'millrace.workflow': workflow,
        'millrace.run': 'r1',
        'millrace.step': 'compute',
        'millrace.attempt': 1,
      },
      parameters: {},
    });
    await prefect.createFlowRun('d1', request('report'));
    await prefect.createFlowRun('d1', request('theirs'));
    expect((await sweep.once()).enqueued).toEqual([key('r1')]);
  });

  test('nothing while Prefect is away: the sweep fails and says so', async () => {
    await dispatched('r1');
    prefect.down = true;
    await expect(sweep.once()).rejects.toMatchObject({ code: 'MR_PREFECT_UNREACHABLE' });
    expect(enqueued).toEqual([]);
  });
});

describe('the projection', () => {
  test('O1: a later attempt is watched under the definition its run began with', async () => {
    const id = await dispatched('r1');
    const state = { type: 'CRASHED' as const, name: 'Crashed', message: undefined, at: clock.now() };
    const body = { v: 1 as const, kind: 'flow' as const, step: 'compute', attempt: 1, flowRunId: id, state };
    await send(journal, 'r1', { ...body, source: 'host' });
    await send(journal, 'r1', { v: 1, kind: 'timer', timer: 'retry/compute/1' });
    await feed('r1');
    prefect.put(id, 'CRASHED');
    clock.advance(10_000);
    await sweep.once();
    expect([...flows.watched()].map(({ key: k, digest }) => [k.attempt, digest])).toEqual([[2, DEFINITION.digest]]);
  });

  test('a replay of old ends is not watched again', async () => {
    const id = await dispatched('r1');
    const state = { type: 'FAILED' as const, name: 'Failed', message: undefined, at: clock.now() };
    const body = { v: 1 as const, kind: 'flow' as const, step: 'compute', attempt: 1, flowRunId: id, state };
    const error = { code: 'MR_STEP_FAILED', message: 'no', retryable: false, lost: false };
    await send(journal, 'r1', { ...body, source: 'host', error });
    clock.advance(600_000);
    const again = new OpenFlowsOfWorkflow('report');
    for (const entry of await journal.entries({ workflow: 'report', runId: 'r1' })) {
      again.apply('r1', entry, clock.now());
    }
    expect([...again.watched()]).toEqual([]);
  });
});

describe('compareAll', () => {
  test('counts every Prefect attempt and names those that disagree', async () => {
    await dispatched('r1');
    const ended = await dispatched('r2');
    await send(journal, 'r3', startInput('x'));
    prefect.put(ended, 'COMPLETED');
    expect(await compareAll(journal, prefect, definitions(), ['report'])).toEqual({
      total: 3,
      agree: 1,
      disagreements: [
        { ...key('r2'), flowRunId: ended, stream: 'open', prefect: 'COMPLETED' },
        { ...key('r3'), flowRunId: '', stream: 'open', prefect: 'none' },
      ],
    });
  });

  test('nothing to compare is agreement', async () => {
    expect(await compareAll(journal, prefect, definitions(), ['report'])).toEqual({
      total: 0,
      agree: 0,
      disagreements: [],
    });
    expect(prefect.calls).toEqual([]);
  });
});
