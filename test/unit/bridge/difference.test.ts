/** Differences as a plan, and the plan carried out (X1 to X3), on a journal in memory and a Prefect with the real one's rules. */
import { beforeEach, describe, expect, test } from 'vitest';
import { loggedAttempts } from '../../../src/bridge/compare.ts';
import { carryOut, differencesOf, parseDifferences, Reconciler } from '../../../src/bridge/reconcile/index.ts';
import { MemoryJournal } from '../../../src/engine/index.ts';
import { noTelemetry } from '../../../src/telemetry/index.ts';
import { definitions, drive, FakeClock, FakeDispatches, FakePrefect, send, startInput } from './kit.ts';

const RUNS = ['r1', 'r2', 'r3'];

let clock: FakeClock;
let journal: MemoryJournal;
let prefect: FakePrefect;
let dispatches: FakeDispatches;
let reconciler: Reconciler;

beforeEach(async () => {
  clock = new FakeClock();
  journal = new MemoryJournal({ clock, mode: 'manual' });
  prefect = new FakePrefect(clock);
  dispatches = new FakeDispatches();
  reconciler = new Reconciler({
    ...{ journal, definitions: definitions(), prefect, dispatches, clock },
    telemetry: noTelemetry,
  });
  for (const runId of RUNS) await send(journal, runId, startInput('hello'));
});

const ports = () => ({ prefect, dispatches, clock, reconciler });
const read = () => loggedAttempts(journal, definitions(), ['report']);
const plan = async () => differencesOf(ports(), await read());
const apply = (wanted: Awaited<ReturnType<typeof plan>>) => carryOut(ports(), wanted, read);
const driveAll = async () => {
  for (const runId of RUNS) await drive(journal, runId);
};
const key = (runId: string) => ({ workflow: 'report', runId, step: 'compute', attempt: 1 });

/** Flow runs exist and are dispatched, and both sides know it. */
async function dispatched(): Promise<void> {
  for (const runId of RUNS) await reconciler.reconcile(key(runId));
  await driveAll();
}

describe('a plan', () => {
  test('names each difference, its class and its repair, and changes nothing', async () => {
    const { looked, differences } = await plan();
    expect(looked).toBe(3);
    expect(differences.map((one) => [one.runId, one.class, one.ours, one.theirs, one.repair])).toEqual(
      RUNS.map((runId) => [runId, 'never-created', 'open', 'none', ['create the flow run']]),
    );
    expect(prefect.runs.size).toBe(0);
    expect((await plan()).differences.map(({ seal }) => seal)).toEqual(differences.map(({ seal }) => seal));
  });

  test('asks Prefect once for two hundred attempts, and once for a deployment', async () => {
    await plan();
    expect(prefect.calls).toEqual(['filter', 'deployment delays/main']);
  });

  test('finds a flow run that the log does not know', async () => {
    await reconciler.reconcile(key('r1'));
    // its report is on the way, or lost: nobody has decided on it
    const [first] = (await plan()).differences;
    expect(first).toMatchObject({ runId: 'r1', class: 'created-unseen', flowRunId: 'flow-1' });
  });

  test('has nothing to say when both sides agree', async () => {
    await dispatched();
    expect((await plan()).differences).toEqual([]);
  });

  test('shows what still has time, with nothing to do', async () => {
    await dispatched();
    prefect.put('flow-1', 'COMPLETED');
    expect((await plan()).differences).toMatchObject([{ class: 'settling', theirs: 'COMPLETED', repair: [] }]);
  });
});

describe('carrying it out', () => {
  test('does what it says, and only that', async () => {
    const wanted = await plan();
    expect(await apply(wanted)).toEqual({ repaired: 3, waiting: 0, moved: 0 });
    expect(prefect.runs.size).toBe(3);
    expect(dispatches.published).toEqual([]); // X3: handing them out is the next plan's
    const next = await plan();
    expect(new Set(next.differences.map((one) => one.class))).toEqual(new Set(['created-unseen']));
    await apply(next);
    expect(dispatches.published.length).toBe(3);
  });

  test('is refused whole when one difference has moved', async () => {
    const wanted = await plan();
    await reconciler.reconcile(key('r2'));
    const calls = prefect.calls.length;
    await expect(apply(wanted)).rejects.toMatchObject({
      code: 'MR_PLAN_STALE',
      message: /1 of 3 .*step compute of run r2/,
    });
    expect(prefect.calls.slice(calls).some((call) => call.startsWith('create'))).toBe(false);
  });

  test('a second time it is stale', async () => {
    const wanted = await plan();
    await apply(wanted);
    await expect(apply(wanted)).rejects.toMatchObject({ code: 'MR_PLAN_STALE' });
  });

  test('leaves alone what changes between the check and its turn (X2)', async () => {
    const wanted = await plan();
    const create = prefect.createFlowRun.bind(prefect);
    let once = true;
    prefect.createFlowRun = async (...args) => {
      if (once) {
        once = false;
        await send(journal, 'r3', { v: 1, kind: 'cancel', reason: 'a person' });
        await drive(journal, 'r3');
      }
      return create(...args);
    };
    expect(await apply(wanted)).toEqual({ repaired: 2, waiting: 0, moved: 1 });
    expect(prefect.runs.size).toBe(2);
  });
});

describe('a plan as a file', () => {
  test('comes back as it was', async () => {
    const wanted = await plan();
    expect(parseDifferences(JSON.stringify(wanted), 'p.json')).toEqual(wanted);
  });

  test.each([
    ['{', /it is not JSON/],
    ['{"v":2}', /v /],
    ['{"v":1,"at":1,"looked":1,"differences":[{"class":"odd"}]}', /differences\.0/],
  ])('%s is refused with its place', (text, message) => {
    expect(() => parseDifferences(text, 'p.json')).toThrow(
      expect.objectContaining({ code: 'MR_USAGE', message: expect.stringMatching(message), place: { file: 'p.json' } }),
    );
  });
});
