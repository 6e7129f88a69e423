/** Every command as a process of its own against a real server: what it prints, what it exits with. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type InputBody, openJournal } from '../../src/engine/index.ts';
import { define, type NatsKit, withNats, workerStep } from '../kit/index.ts';
import { type CliResult, runCli } from '../kit/system.ts';
import { writeRun } from './cli-kit.ts';

const TOKEN = 'let-me-in';
const flow = define('flow', [
  workerStep('load'),
  { ...workerStep('approve', ['load']), action: { kind: 'signal', name: 'go', onTimeout: 'fail' } },
]);

const OPEN = 'aaaa000000000001';
const DONE = 'aabb000000000002';
const BROKEN = 'bbbb000000000003';

const start: InputBody = { v: 1, kind: 'start', digest: flow.digest, payload: { n: 1 }, by: 'anna' };
const loaded: InputBody = { v: 1, kind: 'task.succeeded', step: 'load', attempt: 1, output: { rows: 3 } };
const go: InputBody = { v: 1, kind: 'signal', name: 'go', payload: null };
const broken: InputBody = {
  ...{ v: 1, kind: 'task.failed', step: 'load', attempt: 1 },
  error: { code: 'MR_INPUT_INVALID', message: 'no rows in it', retryable: false, lost: false },
};

let nats: NatsKit;
let dir: string;
const cli = (...args: readonly string[]): Promise<CliResult> =>
  runCli(args, { MILLRACE_NATS_URL: nats.url, MILLRACE_NATS_TOKEN: TOKEN, MILLRACE_JAEGER_URL: 'http://jaeger' });

/** The one JSON document on stdout; nothing on stderr. */
async function data<T>(schema: z.ZodType<T>, ...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await cli(...args, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return schema.parse(JSON.parse(stdout));
}

const errorSchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), next: z.string(), hint: z.string().optional() }).loose(),
});

/** The one JSON document on stderr; nothing on stdout. */
async function refusal(
  ...args: readonly string[]
): Promise<{ exit: number; code: string; message: string; hint: string | undefined }> {
  const { code: exit, stdout, stderr } = await cli(...args, '--json');
  expect(stdout).toBe('');
  const { code, message, hint } = errorSchema.parse(JSON.parse(stderr)).error;
  return { exit, code, message, hint };
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-cli-'));
  nats = await withNats({ token: TOKEN });
  await nats.prepare([flow]);
  const door = await nats.door();
  await writeRun(door, flow, DONE, [start, loaded, go]);
  await writeRun(door, flow, BROKEN, [start, broken]);
  await writeRun(door, flow, OPEN, [start, loaded]);
  await door.jsm.streams.add({ name: 'QUAKES', subjects: ['quakes.>'] });
});

afterAll(async () => {
  await nats?.stop();
  await rm(dir, { recursive: true, force: true });
});

const summarySchema = z.array(
  z
    .object({
      runId: z.string(),
      workflow: z.string(),
      status: z.string(),
      startedAt: z.number(),
      stepsCompleted: z.number(),
    })
    .loose(),
);

describe('runs list', () => {
  test('newest first', async () => {
    const runs = await data(summarySchema, 'runs', 'list');
    expect(runs.map(({ runId, status, stepsCompleted }) => [runId, status, stepsCompleted])).toEqual([
      [OPEN, 'running', 1],
      [BROKEN, 'failed', 0],
      [DONE, 'completed', 2],
    ]);
  });

  test('by status, workflow and limit', async () => {
    expect((await data(summarySchema, 'runs', 'list', '-s', 'failed', '-w', 'flow')).map(({ runId }) => runId)).toEqual(
      [BROKEN],
    );
    expect(await data(summarySchema, 'runs', 'list', '-n', '1')).toHaveLength(1);
  });

  test('for people: a table without colours in a pipe', async () => {
    const { stdout, stderr, code } = await cli('runs', 'list', '-n', '2');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '2 of 3; --limit 0 shows all\n' });
    expect(stdout).not.toContain('\u001b');
    expect(stdout.split('\n')[0]).toMatch(/^RUN +WORKFLOW +STATUS +STARTED +TOOK +STEPS +FAILURES +DETAIL$/);
    expect(stdout).toMatch(/bbbb0+3 +flow +failed .* load: no rows in it\n/);
  });

  test('of a workflow that is not there', async () => {
    expect(await refusal('runs', 'list', '-w', 'flaw')).toMatchObject({
      exit: 1,
      code: 'MR_WORKFLOW_MISSING',
      hint: 'there are flow',
    });
  });
});

const showSchema = z
  .object({
    runId: z.string(),
    status: z.string(),
    payload: z.unknown(),
    trace: z.object({ traceId: z.string().length(32), url: z.string() }),
    error: z.object({ code: z.string(), message: z.string() }).loose().optional(),
    steps: z.array(
      z
        .object({
          name: z.string(),
          status: z.string(),
          attempt: z.number(),
          output: z.unknown().optional(),
          attempts: z.array(z.object({ attempt: z.number(), status: z.string(), scheduledAt: z.number() }).loose()),
        })
        .loose(),
    ),
  })
  .loose();

describe('runs show and history', () => {
  test('shows steps, attempts, trace and its link', async () => {
    const run = await data(showSchema, 'runs', 'show', 'aab');
    expect(run).toMatchObject({ runId: DONE, status: 'completed', payload: { n: 1 } });
    expect(run.trace.url).toBe(`http://jaeger/trace/${run.trace.traceId}`);
    expect(
      run.steps.map(({ name, status, attempt, attempts }) => [name, status, attempt, attempts.map((a) => a.status)]),
    ).toEqual([
      ['load', 'completed', 1, ['completed']],
      ['approve', 'completed', 1, ['completed']],
    ]);
    expect(run.steps[0]?.output).toEqual({ rows: 3 });
  });

  test('shows why a run failed, and steps that never began', async () => {
    const run = await data(showSchema, 'runs', 'show', BROKEN);
    expect(run.error).toMatchObject({ code: 'MR_INPUT_INVALID', message: 'no rows in it' });
    expect(run.steps.map(({ name, status }) => [name, status])).toEqual([
      ['load', 'failed'],
      ['approve', 'pending'],
    ]);
    const { stdout } = await cli('runs', 'show', BROKEN);
    expect(stdout).toContain('no rows in it (MR_INPUT_INVALID)');
  });

  test('tells every transition, when and why', async () => {
    const schema = z
      .object({
        runId: z.string(),
        history: z.array(
          z.object({
            seq: z.number(),
            at: z.number(),
            cause: z.number(),
            causeKind: z.string(),
            text: z.string(),
            transition: z.object({ type: z.string() }).loose(),
          }),
        ),
      })
      .loose();
    const { history } = await data(schema, 'runs', 'history', DONE);
    expect(history.map(({ causeKind, transition }) => `${causeKind} ${transition.type}`)).toEqual([
      'start RunStarted',
      'start StepScheduled',
      'task.succeeded StepCompleted',
      'task.succeeded SignalAwaited',
      'signal SignalReceived',
      'signal SignalConsumed',
      'signal StepCompleted',
      'signal RunCompleted',
    ]);
  });

  test('an id that means two runs, and one that means none', async () => {
    const two = await refusal('runs', 'show', 'aa');
    expect(two).toMatchObject({ exit: 2, code: 'MR_USAGE' });
    expect(two.message).toContain(`${OPEN} (flow)`);
    expect(await refusal('runs', 'history', 'zz')).toMatchObject({
      exit: 1,
      code: 'MR_RUN_MISSING',
      message: 'there is no run "zz"',
    });
  });
});

const startedSchema = z.object({ workflow: z.string(), runId: z.string(), started: z.boolean() });
const toldSchema = z.object({ workflow: z.string(), runId: z.string(), input: z.number(), duplicate: z.boolean() });

/** The last input on the server. */
async function lastInput(runId: string): Promise<unknown> {
  const door = await nats.door();
  const message = await door.jsm.streams.getMessage('WF_flow', { last_by_subj: `wf.flow.in.${runId}` });
  return message?.json();
}

describe('runs start', () => {
  test('sends a start with the payload of a file and the name of who typed it; a key starts one run', async () => {
    const file = join(dir, 'payload.json');
    await writeFile(file, '{"day":"2001-01-03"}');
    const first = await data(startedSchema, 'runs', 'start', 'flow', '--payload', `@${file}`, '--key', 'k1');
    expect(first.started).toBe(true);
    expect(await lastInput(first.runId)).toMatchObject({
      kind: 'start',
      digest: flow.digest,
      payload: { day: '2001-01-03' },
      by: expect.any(String),
    });
    const again = await data(startedSchema, 'runs', 'start', 'flow', '--key', 'k1');
    expect(again).toEqual({ ...first, started: false });
    const other = await data(startedSchema, 'runs', 'start', 'flow');
    expect(other.runId).not.toBe(first.runId);
  });

  test('joins the caller’s trace', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const env = { MILLRACE_NATS_URL: nats.url, MILLRACE_NATS_TOKEN: TOKEN, TRACEPARENT: traceparent };
    const { stdout } = await runCli(['runs', 'start', 'flow', '--json'], env);
    const { runId } = startedSchema.parse(JSON.parse(stdout));
    expect(await lastInput(runId)).toMatchObject({ trace: { traceparent } });
  });

  test('refuses what it cannot start', async () => {
    expect(await refusal('runs', 'start', 'flaw')).toMatchObject({
      exit: 1,
      code: 'MR_WORKFLOW_MISSING',
      hint: 'there are flow',
    });
    expect(await refusal('runs', 'start', 'flow', '--payload', '{n:1}')).toMatchObject({
      exit: 1,
      code: 'MR_NOT_JSON',
    });
    expect(await refusal('runs', 'start', 'flow', '--payload', '@/no/such/file')).toMatchObject({
      exit: 2,
      code: 'MR_USAGE',
    });
    const large = join(dir, 'large.json');
    await writeFile(large, JSON.stringify('x'.repeat(2_000_000)));
    expect(await refusal('runs', 'start', 'flow', '--payload', `@${large}`)).toMatchObject({
      exit: 1,
      code: 'MR_PAYLOAD_TOO_LARGE',
    });
  });
});

describe('runs retry, cancel, signal', () => {
  test('each becomes an input; telling it twice is telling it once', async () => {
    const retried = await data(toldSchema, 'runs', 'retry', BROKEN);
    expect(await lastInput(BROKEN)).toMatchObject({ kind: 'retry', by: expect.any(String) });
    expect(await data(toldSchema, 'runs', 'retry', BROKEN)).toEqual({ ...retried, duplicate: true });
    await data(toldSchema, 'runs', 'signal', OPEN, 'go', '--payload', '{"by":"me"}');
    expect(await lastInput(OPEN)).toMatchObject({ kind: 'signal', name: 'go', payload: { by: 'me' } });
    expect(await cli('runs', 'signal', OPEN, 'go')).toMatchObject({ code: 0, stderr: '' });
    expect(await cli('runs', 'signal', OPEN, 'stop')).toMatchObject({
      code: 0,
      stdout: `signal stop sent to run ${OPEN}\n`,
      stderr: 'no step of this run waits for "stop"; they wait for go\n',
    });
    await data(toldSchema, 'runs', 'cancel', OPEN, '--reason', 'wrong day');
    expect(await lastInput(OPEN)).toMatchObject({ kind: 'cancel', reason: 'wrong day' });
  });

  test('are refused in a state that cannot take them', async () => {
    expect(await refusal('runs', 'retry', OPEN)).toMatchObject({
      exit: 1,
      code: 'MR_RUN_STATE',
      message: `run ${OPEN} is running`,
    });
    expect(await refusal('runs', 'cancel', DONE)).toMatchObject({ exit: 1, code: 'MR_RUN_STATE' });
    expect(await refusal('runs', 'signal', DONE, 'go')).toMatchObject({ exit: 1, code: 'MR_RUN_STATE' });
  });
});

describe('publish', () => {
  test('stores a message, once under one id', async () => {
    const schema = z.object({ stream: z.string(), sequence: z.number(), duplicate: z.boolean() });
    const args = ['publish', 'quakes.reported', '{"mag":5.4}', '--msg-id', 'q1', '--header', 'Source: usgs'];
    expect(await data(schema, ...args)).toEqual({ stream: 'QUAKES', sequence: 1, duplicate: false });
    expect(await data(schema, ...args)).toEqual({ stream: 'QUAKES', sequence: 1, duplicate: true });
    const door = await nats.door();
    const message = await door.jsm.streams.getMessage('QUAKES', { seq: 1 });
    expect([message?.json(), message?.header.get('Source')]).toEqual([{ mag: 5.4 }, 'usgs']);
  });

  test('refuses what is not JSON, too large, nobody’s subject or no subject', async () => {
    expect(await refusal('publish', 'quakes.reported', 'hello')).toMatchObject({ exit: 1, code: 'MR_NOT_JSON' });
    const large = join(dir, 'large.json');
    await writeFile(large, JSON.stringify('x'.repeat(2_000_000)));
    expect(await refusal('publish', 'quakes.reported', `@${large}`)).toMatchObject({
      exit: 1,
      code: 'MR_PAYLOAD_TOO_LARGE',
      message: expect.stringContaining('2000002 bytes'),
    });
    expect(await refusal('publish', 'nobodys.subject', '1')).toMatchObject({
      exit: 1,
      code: 'MR_NATS',
      message: 'the message was not stored: no stream listens on the subject',
    });
    expect(await refusal('publish', 'quakes.*', '1')).toMatchObject({ exit: 2, code: 'MR_USAGE' });
    expect(await refusal('publish', 'quakes.x', '1', '-H', 'nonsense')).toMatchObject({ exit: 2, code: 'MR_USAGE' });
  });
});

describe('what every command shares', () => {
  test('a wrong token, no server, a wrong setting, no Prefect', async () => {
    expect(await refusal('runs', 'list', '--token', 'wrong')).toMatchObject({ exit: 2, code: 'MR_NATS_AUTH' });
    expect(await refusal('runs', 'list', '--nats-url', 'nats://127.0.0.1:1')).toMatchObject({
      exit: 3,
      code: 'MR_NATS_UNREACHABLE',
    });
    expect(await refusal('runs', 'list', '--nats-url', 'http://x')).toMatchObject({ exit: 2, code: 'MR_CONFIG' });
    expect(await refusal('reconcile')).toMatchObject({
      exit: 2,
      code: 'MR_CONFIG',
      message: 'no Prefect is configured',
    });
    expect(await refusal('rusn')).toMatchObject({
      exit: 2,
      code: 'MR_USAGE',
      message: "unknown command 'rusn' (Did you mean runs?)",
    });
  });

  test('an error for people: sentence, code, what to do; nothing on stdout', async () => {
    const { code, stdout, stderr } = await cli('runs', 'show', 'zz');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toBe(
      'error there is no run "zz" (MR_RUN_MISSING)\n  hint `millrace runs list` shows the runs there are\n',
    );
  });

  test('journals stay open for others: the runs written here still read', async () => {
    const journal = openJournal(await nats.door());
    expect(await journal.entries({ workflow: 'flow', runId: DONE })).toHaveLength(3);
    journal.close();
  });
});
