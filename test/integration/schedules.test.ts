/** Schedules on a real server: two controllers, one of which dies; downtime and catch-up; the command line. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type ControllerService, type Definition, openJournal, startController } from '../../src/engine/index.ts';
import { runIdOfTime, SCHEDULE_CONSUMER, STREAMS } from '../../src/kernel/index.ts';
import { applyPlan, openDefinitions, preparePlan } from '../../src/manifests/index.ts';
import { type JetStreamLines, openLines, type Schedules, startSchedules } from '../../src/schedules/index.ts';
import { type NatsKit, type Recorder, recorder, waitFor, withNats } from '../kit/index.ts';
import { readRuns } from '../kit/runs.ts';
import { runCli } from '../kit/system.ts';

const manifest = (name: string, schedules: string, step = 'sleep: 10ms'): string => `apiVersion: millrace/v1
kind: Workflow
metadata: {name: ${name}}
spec:
  schedules:
${schedules.replace(/^/gm, '    ')}
  steps: [{name: nap, ${step}}]
`;

let kit: NatsKit;
let lines: JetStreamLines;
const running: { controller: ControllerService; schedules: Schedules }[] = [];

beforeAll(async () => {
  kit = await withNats();
  await kit.prepare([]);
  lines = openLines(await kit.door());
});
afterEach(async () => {
  for (const { schedules, controller } of running.splice(0)) {
    await schedules.stop();
    await controller.stop();
  }
});
afterAll(() => kit?.stop());

async function apply(text: string): Promise<Definition> {
  const { nc } = await kit.door();
  const { plan, checked } = await preparePlan(nc, [{ file: 'm.yaml', text }]);
  if (plan === undefined) throw new Error(JSON.stringify(checked.problems));
  await applyPlan(nc, plan);
  const [definition] = checked.definitions;
  if (definition === undefined) throw new Error('no definition');
  return definition;
}

async function control(into: Recorder = recorder()) {
  const door = await kit.door('controller');
  const definitionsHere = await openDefinitions(door.nc);
  const { telemetry } = into;
  const controller = await startController({ door, definitions: definitionsHere, telemetry });
  const schedules = await startSchedules({ door, definitions: definitionsHere, journal: openJournal(door), telemetry });
  const both = { controller, schedules, door };
  running.push(both);
  return both;
}

/** What a command gives under --json. */
async function cli(...argv: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await runCli([...argv, '--json'], { MILLRACE_NATS_URL: kit.url });
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

async function runsOf(workflow: string) {
  return readRuns(await kit.door('reader'), workflow);
}

test('two controllers start each time once, also when one dies; each run knows its schedule, time and trace', async () => {
  await apply(manifest('ticking', '- {name: fast, every: 1s, overlap: allow, with: {at: scheduledAt}}'));
  const into = recorder();
  const doomed = await control();
  await control(into);
  await waitFor('a few runs', async () => (await runsOf('ticking')).length >= 2);
  await doomed.door.nc.close();
  running.splice(
    running.findIndex(({ schedules }) => schedules === doomed.schedules),
    1,
  );
  const before = (await runsOf('ticking')).length;
  const runs = await waitFor(
    'more runs',
    async () => {
      const now = await runsOf('ticking');
      return now.length >= before + 3 && now;
    },
    30_000,
  );
  const times = runs.map(({ entries }) => {
    const [first] = entries[0]?.transitions ?? [];
    if (first?.type !== 'RunStarted') throw new Error('a run without a start');
    expect(first.by).toBe('schedule fast');
    return Date.parse((first.payload as { at: string }).at);
  });
  expect(runs.map(({ runId }) => runId).sort()).toEqual(
    times.map((time) => runIdOfTime('ticking', 'fast', time)).sort(),
  );
  // Every second between the first and the last has its run.
  const sorted = [...times].sort((a, b) => a - b);
  expect(sorted).toEqual(sorted.map((_, n) => (sorted[0] ?? 0) + n * 1_000));
  const span = into.spans.find(({ name }) => name === 'schedule ticking');
  expect(span?.attributes).toMatchObject({ 'millrace.schedule': 'fast' });
});

test('after downtime what was missed is caught up by its policy, and the timer stands', async () => {
  await apply(
    manifest(
      'late',
      '- {name: all, every: 1s, overlap: allow, catchUp: {policy: all, window: 1h}}\n- {name: none, every: 1s, overlap: allow, catchUp: {policy: none}}',
    ),
  );
  const first = await control();
  const cursor = await waitFor('both schedules', async () => {
    const [all, none] = (await lines.list('late')).map(({ after }) => after);
    return all !== undefined && none !== undefined && all.counts.started > 0 && none.counts.started > 0 && all;
  });
  await first.schedules.stop();
  await first.controller.stop();
  running.length = 0;
  // More than what counts as late passes: waited for by the server's own clock, in a message of the stream.
  await waitFor('the downtime to be long enough', async () => Date.now() > cursor.cursor + 16_000, 30_000);
  const resumed = Date.now();
  await control();
  await waitFor('the missed times', async () => {
    const all = (await lines.list('late')).find(({ after }) => after.line === 'all')?.after;
    return all !== undefined && all.cursor > resumed;
  });
  const entries = await lines.entries({ workflow: 'late', line: 'all' });
  const times = entries.flatMap(({ transitions }) =>
    transitions.flatMap((t) => (t.type === 'RunFired' ? [t.start.time] : [])),
  );
  expect(times).toEqual(times.map((_, n) => (times[0] ?? 0) + n * 1_000));
  const skipped = await lines.entries({ workflow: 'late', line: 'none' });
  expect(skipped.flatMap(({ transitions }) => transitions.map(({ type }) => type))).toContain('TimesMissed');
}, 60_000);

test('one run at a time: what is buffered begins when the open run ends, a removed schedule starts nothing more', async () => {
  await apply(
    manifest('slow', '- {name: one, every: 1s, overlap: bufferOne}', 'waitForSignal: {name: go, timeout: 1h}'),
  );
  await control();
  const ref = { workflow: 'slow', line: 'one' };
  const waiting = await waitFor('one that waits', async () => {
    const state = (await lines.last(ref))?.after;
    return state?.waiting.length === 1 && state.counts.skipped > 0 && state;
  });
  const open = waiting.running[0]?.runId ?? '';
  expect((await runsOf('slow')).map(({ runId }) => runId)).toEqual([open]);
  const journal = openJournal(await kit.door());
  await journal.send(
    { workflow: 'slow', runId: open },
    { v: 1, kind: 'signal', name: 'go', payload: 1 },
    { msgId: 'go' },
  );
  await waitFor('the buffered run', async () => {
    const ids = (await runsOf('slow')).map(({ runId }) => runId);
    return ids.length === 2 && ids.includes(waiting.waiting[0]?.runId ?? '');
  });
  const { nc } = await kit.door();
  const { plan } = await preparePlan(nc, [
    { file: 'm.yaml', text: manifest('slow', '[]', 'sleep: 1s').replace('schedules:\n    []', 'schedules: []') },
  ]);
  expect(plan?.actions.flatMap((action) => ('notes' in action ? action.notes : []))).toEqual([
    '- schedule one: runs that wait for an open one are dropped, open runs go on',
  ]);
  if (plan !== undefined) await applyPlan(nc, plan);
  const removed = await waitFor('the removal', async () => {
    const state = (await lines.last(ref))?.after;
    return state !== undefined && state.spec === undefined && state;
  });
  expect([removed.waiting, removed.next]).toEqual([[], undefined]);
});

test('the command line: list, show, pause, trigger, resume, next, backfill', async () => {
  await apply(manifest('desk', '- {name: daily, cron: "0 6 * * *", timeZone: Europe/Berlin, payload: {n: 1}}'));
  await control();
  const ref = { workflow: 'desk', line: 'daily' };
  await waitFor('the schedule', async () => (await lines.last(ref))?.after.next !== undefined);
  expect(await cli('schedules', 'list', '-w', 'desk')).toMatchObject([
    { schedule: 'daily', status: 'on', counts: { started: 0 } },
  ]);
  expect(await cli('schedules', 'pause', 'daily', '--reason', 'audit')).toMatchObject({ paused: { reason: 'audit' } });
  expect(await cli('schedules', 'list', '-w', 'desk')).toMatchObject([{ status: 'paused' }]);
  expect(await cli('schedules', 'trigger', 'desk/daily')).toMatchObject({
    outcome: 'started',
    runId: expect.any(String),
  });
  expect(await cli('schedules', 'resume', 'daily')).toMatchObject({ next: { due: expect.any(Number) } });
  expect(await cli('schedules', 'next', 'daily', '3')).toHaveLength(3);
  const filled = await cli(
    'schedules',
    'backfill',
    'daily',
    '--from',
    '2026-01-01',
    '--to',
    '2026-01-05',
    '--overlap',
    'allow',
  );
  expect(filled).toMatchObject({ done: true, started: 4 });
  const again = await cli('schedules', 'backfill', 'daily', '--from', '2026-01-01', '--to', '2026-01-05');
  expect(again).toMatchObject({ done: true, started: 4 });
  expect(await runsOf('desk')).toHaveLength(5); // a time that was run is not run again
  expect(await cli('schedules', 'show', 'daily')).toMatchObject({ counts: { started: 9 }, waiting: [] });
  await expect(cli('schedules', 'show', 'nope')).rejects.toThrow(/MR_SCHEDULE_MISSING/);
  // What was handled is not kept.
  const { jsm } = await kit.door();
  await waitFor('an empty queue', async () => {
    const { num_ack_pending, num_pending } = await jsm.consumers.info(STREAMS.schedules, SCHEDULE_CONSUMER);
    const { state } = await jsm.streams.info(STREAMS.schedules, { subjects_filter: 'sched.in.desk.*' });
    return num_ack_pending + num_pending === 0 && Object.keys(state.subjects ?? {}).length === 0;
  });
}, 60_000);
