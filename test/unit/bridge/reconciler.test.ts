/** One key through the reconciler: C1 to C3, on a journal in memory and a Prefect with the real one's rules. */
import { beforeEach, describe, expect, test } from 'vitest';
import { Reconciler } from '../../../src/bridge/reconcile/index.ts';
import { MemoryJournal, stepOf } from '../../../src/engine/index.ts';
import { MillraceError } from '../../../src/kernel/index.ts';
import { attemptContext, noTelemetry, type SpanRecord } from '../../../src/telemetry/index.ts';
import { DEFINITION, definitions, drive, FakeClock, FakeDispatches, FakePrefect, send, startInput } from './kit.ts';

const KEY = { workflow: 'report', runId: 'r1', step: 'compute', attempt: 1 };
const TRACE = { traceparent: '00-11111111111111111111111111111111-2222222222222222-01' };

let clock: FakeClock;
let journal: MemoryJournal;
let prefect: FakePrefect;
let dispatches: FakeDispatches;
let spans: SpanRecord[];
let reconciler: Reconciler;

beforeEach(async () => {
  clock = new FakeClock();
  journal = new MemoryJournal({ clock, mode: 'manual' });
  prefect = new FakePrefect(clock);
  dispatches = new FakeDispatches();
  spans = [];
  const telemetry = {
    ...noTelemetry,
    tracer: { ...noTelemetry.tracer, enabled: true, record: (s: SpanRecord) => void spans.push(s) },
  };
  reconciler = new Reconciler({ journal, definitions: definitions(), prefect, dispatches, clock, telemetry });
});

const compute = async () => stepOf(await drive(journal, 'r1'), 'compute');

/** A run whose flow run exists and is dispatched. */
async function dispatched(): Promise<void> {
  await send(journal, 'r1', startInput('hello'));
  await reconciler.reconcile(KEY);
  await drive(journal, 'r1');
}

describe('an attempt that wants a flow run', () => {
  test('gets it: created, told to the run, dispatched to a host', async () => {
    await send(journal, 'r1', startInput('hello'));
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(prefect.calls).toEqual(['deployment delays/main', 'create r1/compute/1']);
    expect((await compute()).flows[1]).toMatchObject({ flowRunId: 'flow-1', state: { type: 'SCHEDULED' } });
    const traceparent = attemptContext(TRACE, 'r1', 'compute', 1).traceparent;
    expect(prefect.runs.get('flow-1')).toMatchObject({
      name: 'r1-compute-1',
      labels: { 'millrace.attempt': 1, 'millrace.run': 'r1', __OTEL_TRACEPARENT: traceparent },
      tags: ['millrace', 'run:r1', 'workflow:report', 'step:compute', 'attempt:1'],
    });
    expect(dispatches.published).toEqual([
      {
        pool: 'default',
        n: 1,
        message: {
          v: 1,
          action: 'run',
          workflow: 'report',
          runId: 'r1',
          step: 'compute',
          attempt: 1,
          flowRunId: 'flow-1',
          deployment: 'delays/main',
          parameters: { input: { payload: 'hello', steps: {} } },
          traceparent,
        },
      },
    ]);
  });

  test('a second look finds both sides equal and does nothing', async () => {
    await dispatched();
    const before = { spans: spans.length, published: dispatches.published.length };
    prefect.calls.length = 0;
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(prefect.calls).toEqual(['read flow-1']);
    expect({ spans: spans.length, published: dispatches.published.length }).toEqual(before);
  });

  test('one that was created by a controller that died before it told anyone is found, not doubled', async () => {
    await send(journal, 'r1', startInput('hello'));
    const request = { name: 'r1-compute-1', idempotencyKey: 'r1/compute/1', labels: {}, tags: [], parameters: {} };
    await prefect.createFlowRun('d1', request);
    await reconciler.reconcile(KEY);
    expect(prefect.runs.size).toBe(1);
    expect((await compute()).flows[1]?.flowRunId).toBe('flow-1');
    expect(dispatches.published).toHaveLength(1);
  });

  test('its span hangs under the attempt and says what was done', async () => {
    await dispatched();
    expect(spans).toHaveLength(1);
    const parent = attemptContext(TRACE, 'r1', 'compute', 1).traceparent.split('-')[2];
    expect(spans[0]).toMatchObject({
      name: 'reconcile compute',
      traceId: '1'.repeat(32),
      parentSpanId: parent,
      attributes: { 'millrace.actions': 'create,report,dispatch', 'millrace.attempt': 1 },
    });
  });

  test('without its deployment the run fails, with the sentence that says what to do', async () => {
    prefect.deployments.clear();
    await send(journal, 'r1', startInput('hello'));
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    const state = await drive(journal, 'r1');
    expect(state.status).toBe('failed');
    expect(state.error).toEqual({
      code: 'MR_DEPLOYMENT_MISSING',
      message: 'Prefect has no deployment "delays/main"',
      hint: 'create it (for example with flow.deploy or prefect deploy), then retry the run',
      retryable: false,
      lost: false,
    });
    expect(prefect.runs.size).toBe(0);
  });

  test('two runs without a deployment are two messages', async () => {
    prefect.deployments.clear();
    for (const runId of ['r1', 'r2']) {
      await send(journal, runId, startInput('hello'));
      await reconciler.reconcile({ ...KEY, runId });
      expect((await drive(journal, runId)).status).toBe('failed');
    }
  });

  test('parameters that Prefect refuses fail the run; a key that it refuses does not', async () => {
    await send(journal, 'r1', startInput('hello'));
    prefect.refuse = new MillraceError('MR_PREFECT_REFUSED', 'wrong key', { next: 'retry' });
    await expect(reconciler.reconcile(KEY)).rejects.toMatchObject({ code: 'MR_PREFECT_REFUSED', next: 'retry' });
    expect((await drive(journal, 'r1')).status).toBe('running');
    prefect.refuse = new MillraceError('MR_PREFECT_REFUSED', 'input: "hello" is not of type integer');
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(await drive(journal, 'r1')).toMatchObject({
      status: 'failed',
      error: { code: 'MR_PREFECT_REFUSED', message: 'input: "hello" is not of type integer', retryable: false },
    });
  });

  test('while Prefect is away nothing is decided', async () => {
    await send(journal, 'r1', startInput('hello'));
    prefect.down = true;
    await expect(reconciler.reconcile(KEY)).rejects.toMatchObject({ code: 'MR_PREFECT_UNREACHABLE', next: 'retry' });
    expect((await compute()).status).toBe('scheduled');
    prefect.down = false;
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(dispatches.published).toHaveLength(1);
  });
});

describe('news that only Prefect has', () => {
  test('FAILED behind our back fails the attempt', async () => {
    await dispatched();
    dispatches.held.clear();
    prefect.put('flow-1', 'FAILED', 'ValueError: no');
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(await compute()).toMatchObject({ status: 'backoff', failures: 1, error: { message: 'ValueError: no' } });
  });

  test('COMPLETED behind our back is collected by a host, never reported without its result', async () => {
    await dispatched();
    dispatches.held.clear();
    prefect.put('flow-1', 'COMPLETED');
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'after', ms: 2_000 });
    clock.advance(2_000);
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'after', ms: 5_000 });
    expect(dispatches.published.map(({ message, n }) => [message.action, n])).toEqual([
      ['run', 1],
      ['collect', 1],
    ]);
    expect((await compute()).status).toBe('scheduled');
  });

  test('CANCELLED in Prefect cancels the run', async () => {
    await dispatched();
    prefect.put('flow-1', 'CANCELLED', 'by ops');
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(await drive(journal, 'r1')).toMatchObject({ status: 'cancelled', reason: 'by ops' });
  });

  test('a flow run that runs though nobody holds its dispatch is lost: CRASHED in Prefect, tried again', async () => {
    await dispatched();
    prefect.put('flow-1', 'RUNNING');
    await reconciler.reconcile(KEY);
    expect((await compute()).status).toBe('running');
    clock.advance(60_000);
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(prefect.typeOf('flow-1')).toBe('RUNNING');
    dispatches.held.clear();
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(prefect.typeOf('flow-1')).toBe('CRASHED');
    expect(await compute()).toMatchObject({ status: 'backoff', lost: 1, failures: 0 });
  });

  test('a dispatch that got lost is sent again under another number', async () => {
    await dispatched();
    dispatches.held.clear();
    clock.advance(5_000);
    await reconciler.reconcile(KEY);
    expect(dispatches.published.map(({ n }) => n)).toEqual([1, 2]);
  });
});

describe('a run that was cancelled', () => {
  const cancel = () => send(journal, 'r1', { v: 1, kind: 'cancel', reason: 'enough' });

  test('has its waiting flow run cancelled, and the log says so', async () => {
    await dispatched();
    await cancel();
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(prefect.typeOf('flow-1')).toBe('CANCELLED');
    expect((await compute()).flows[1]?.state.type).toBe('CANCELLED');
  });

  test('has its running flow run stopped by the host', async () => {
    await dispatched();
    prefect.put('flow-1', 'RUNNING');
    await reconciler.reconcile(KEY);
    await cancel();
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'after', ms: 2_000 });
    expect(prefect.typeOf('flow-1')).toBe('CANCELLING');
    expect(dispatches.cancelled).toEqual([
      { v: 1, workflow: 'report', runId: 'r1', step: 'compute', attempt: 1, reason: 'the attempt is cancelled' },
    ]);
    prefect.put('flow-1', 'CANCELLED'); // the host did
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect((await compute()).flows[1]?.state.type).toBe('CANCELLED');
  });

  test('whose host does not stop is overruled', async () => {
    await dispatched();
    prefect.put('flow-1', 'RUNNING');
    await cancel();
    await reconciler.reconcile(KEY);
    clock.advance(30_000);
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(prefect.typeOf('flow-1')).toBe('CANCELLED');
  });

  test('whose flow run was created at the same moment finds and cancels it', async () => {
    await send(journal, 'r1', startInput('hello'));
    const request = { name: 'r1-compute-1', idempotencyKey: 'r1/compute/1', labels: {}, tags: [], parameters: {} };
    await prefect.createFlowRun('d1', request);
    await cancel();
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(prefect.typeOf('flow-1')).toBe('CANCELLED');
    expect(dispatches.published).toEqual([]);
  });

  test('and never had a flow run gets none', async () => {
    await send(journal, 'r1', startInput('hello'));
    await cancel();
    expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
    expect(prefect.runs.size).toBe(0);
  });
});

test('Prefect is told how a lost attempt ended', async () => {
  await dispatched();
  prefect.put('flow-1', 'RUNNING');
  await send(journal, 'r1', {
    ...{ v: 1, kind: 'flow', step: 'compute', attempt: 1, flowRunId: 'flow-1', source: 'host' },
    state: { type: 'CRASHED', name: 'Crashed', message: 'host died', at: clock.now() },
  });
  expect(await reconciler.reconcile(KEY)).toEqual({ kind: 'done' });
  expect(prefect.typeOf('flow-1')).toBe('CRASHED');
});

describe('C1: nothing is taken from the job but the key', () => {
  test.each([
    ['a run that does not exist', { ...KEY, runId: 'nobody' }],
    ['an attempt that was never scheduled', { ...KEY, attempt: 7 }],
    ['a step that does not exist', { ...KEY, step: 'other' }],
  ])('%s: nothing happens', async (_what, key) => {
    await send(journal, 'r1', startInput('hello'));
    expect(await reconciler.reconcile(key)).toEqual({ kind: 'done' });
    expect(prefect.calls).toEqual([]);
  });

  test('a run whose definition is gone is an error that says so', async () => {
    await send(journal, 'r1', startInput('hello'));
    const lost = new Reconciler({
      ...{ journal, prefect, dispatches, clock, telemetry: noTelemetry },
      definitions: definitions({ ...DEFINITION, digest: 'another' }),
    });
    await expect(lost.reconcile(KEY)).rejects.toMatchObject({ code: 'MR_DEFINITION_MISSING', next: 'terminal' });
  });
});
