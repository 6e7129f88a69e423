/** `runs resume`, `kill`, `cancel --grace`, and what lists and `show` say of paused and closing runs, as processes of their own. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type InputBody, openJournal } from '../../src/engine/index.ts';
import { define, type NatsKit, PATIENT, withNats, workerStep } from '../kit/index.ts';
import { type CliResult, runCli } from '../kit/system.ts';
import { writeRun } from './cli-kit.ts';

const trip = define('trip', [
  workerStep('hotel', [], { compensate: { handler: 'cancel-hotel', queue: 'q', retry: PATIENT } }),
  workerStep('train', ['hotel'], { retry: { ...PATIENT, maxAttempts: 1, onExhausted: 'pause' } }),
]);
const PAUSED = 'aaaa000000000001';
const CLOSING = 'bbbb000000000002';
const OPEN = 'cccc000000000003';

const start: InputBody = { v: 1, kind: 'start', digest: trip.digest, payload: {} };
const booked: InputBody = { v: 1, kind: 'task.succeeded', step: 'hotel', attempt: 1, output: { room: 7 } };
const error = { code: 'SOLD_OUT', message: 'no seat is left', retryable: true, lost: false };
const soldOut: InputBody = { v: 1, kind: 'task.failed', step: 'train', attempt: 1, error };

let nats: NatsKit;
const cli = (...args: readonly string[]): Promise<CliResult> => runCli(args, { MILLRACE_NATS_URL: nats.url });

beforeAll(async () => {
  nats = await withNats();
  await nats.prepare([trip]);
  const door = await nats.door();
  await writeRun(door, trip, PAUSED, [start, booked, soldOut]);
  await writeRun(door, trip, CLOSING, [start, booked, { v: 1, kind: 'cancel', reason: 'ill' }]);
  await writeRun(door, trip, OPEN, [start]);
});
afterAll(() => nats?.stop());

/** What the run was told last, and how often it was told anything. */
async function toldLast(runId: string): Promise<{ readonly body: InputBody | undefined; readonly count: number }> {
  const journal = openJournal(await nats.door());
  const inputs = await journal.inputsBetween({ workflow: 'trip', runId }, 0, Number.MAX_SAFE_INTEGER);
  journal.close();
  const last = inputs.at(-1);
  return {
    body: last === undefined ? undefined : JSON.parse(new TextDecoder().decode(last.data)),
    count: inputs.length,
  };
}

/** The refusal as JSON on stderr. */
async function refused(...args: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await cli(...args, '--json');
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  return (JSON.parse(stderr) as { error: unknown }).error;
}

describe('a paused run', () => {
  test('is found by --paused, and says how it goes on', async () => {
    const { stdout, stderr } = await cli('runs', 'list', '--paused');
    expect(stdout).toMatch(new RegExp(`${PAUSED} +trip +running .* paused at train\\n`));
    expect(stdout).not.toContain(OPEN);
    expect(stderr).toBe('what is paused goes on with `millrace runs resume <run>`\n');
    const shown = (await cli('runs', 'show', PAUSED)).stdout;
    expect(shown).toContain(`train; mend what is broken, then: millrace runs resume ${PAUSED}`);
    expect(shown).toContain('no seat is left');
  });

  test('is resumed once, however often it is said; a step that is not paused is refused', async () => {
    expect(await refused('runs', 'resume', PAUSED, '--step', 'hotel')).toMatchObject({
      code: 'MR_RUN_STATE',
      message: `run ${PAUSED} has no paused step "hotel"`,
      hint: 'paused: train',
    });
    expect((await cli('runs', 'resume', PAUSED)).stdout).toBe(`run ${PAUSED} goes on with train\n`);
    const before = await toldLast(PAUSED);
    expect(before.body).toMatchObject({ kind: 'resume', by: expect.any(String) });
    expect((await cli('runs', 'resume', PAUSED)).stdout).toContain('it had been told before');
    expect((await toldLast(PAUSED)).count).toBe(before.count);
    expect(await refused('runs', 'resume', OPEN)).toMatchObject({ hint: 'it is running; nothing of it is paused' });
  });
});

describe('a run that is being closed', () => {
  test('says so, with what is left to compensate', async () => {
    expect((await cli('runs', 'list')).stdout).toMatch(new RegExp(`${CLOSING} .* being cancelled at undo:hotel\\n`));
    const shown = (await cli('runs', 'show', CLOSING)).stdout;
    expect(shown).toContain('is being cancelled: ill; 1 step to compensate');
    expect(shown).toMatch(/undo:hotel +1 +scheduled/);
  });

  test('is not cancelled again, but may be killed', async () => {
    expect(await refused('runs', 'cancel', CLOSING)).toMatchObject({
      code: 'MR_RUN_STATE',
      message: `run ${CLOSING} is being cancelled already`,
    });
    expect((await cli('runs', 'kill', CLOSING, '-r', 'hangs')).stdout).toBe(`run ${CLOSING} will be killed\n`);
    expect((await toldLast(CLOSING)).body).toMatchObject({ kind: 'kill', reason: 'hangs' });
  });
});

test('cancel takes a grace time, and refuses what is none', async () => {
  expect(await cli('runs', 'cancel', OPEN, '--grace', 'soon')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('for example 250ms, 30s'),
  });
  expect((await cli('runs', 'cancel', OPEN, '--grace', '30s')).code).toBe(0);
  expect((await toldLast(OPEN)).body).toMatchObject({ kind: 'cancel', graceMs: 30_000 });
});
