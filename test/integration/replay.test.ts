/** The replay proof on real journals, whole and tampered with. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { InputBody } from '../../src/engine/index.ts';
import { define, type NatsKit, withNats, workerStep } from '../kit/index.ts';
import { type CliResult, runCli } from '../kit/system.ts';
import { type Tamper, writeRun } from './cli-kit.ts';

const good = define('good', [workerStep('load'), workerStep('store', ['load'])]);
const bad = define('bad', [workerStep('load'), workerStep('store', ['load'])]);
const bodies = (digest: string): InputBody[] => [
  { v: 1, kind: 'start', digest, payload: { n: 1 } },
  { v: 1, kind: 'task.started', step: 'load', attempt: 1, worker: 'w' },
  { v: 1, kind: 'task.succeeded', step: 'load', attempt: 1, output: { rows: 3 } },
  { v: 1, kind: 'task.succeeded', step: 'load', attempt: 1, output: { rows: 4 } },
  { v: 1, kind: 'task.succeeded', step: 'store', attempt: 1, output: null },
];
const RUNS = 30;
const TAMPERED = 'tampered00000001';

/** Somebody changed what the step gave. */
const otherRows: Tamper = (entry) =>
  JSON.parse(JSON.stringify(entry).replaceAll('{"rows":3}', '{"rows":5}')) as typeof entry;

let nats: NatsKit;
const cli = (...args: readonly string[]): Promise<CliResult> => runCli(args, { MILLRACE_NATS_URL: nats.url });

const verification = z.object({
  workflow: z.string(),
  runId: z.string(),
  identical: z.boolean(),
  entries: z.number(),
  transitions: z.number(),
  inputs: z.number(),
  waiting: z.number(),
  divergence: z
    .object({
      seq: z.number(),
      cause: z.number(),
      kind: z.string(),
      message: z.string(),
      diff: z.array(z.object({ side: z.enum(['-', '+', ' ']), text: z.string() })),
    })
    .loose()
    .optional(),
});
const totals = z.object({
  runs: z.number(),
  identical: z.number(),
  functions: z.number(),
  entries: z.number(),
  transitions: z.number(),
  inputs: z.number(),
  diverged: z.array(verification),
});
const code = (stderr: string): string =>
  z.object({ error: z.object({ code: z.string() }) }).parse(JSON.parse(stderr)).error.code;

beforeAll(async () => {
  nats = await withNats();
  await nats.prepare([good, bad]);
  const door = await nats.door();
  for (let i = 0; i < RUNS; i++) await writeRun(door, good, `good${String(i).padStart(12, '0')}`, bodies(good.digest));
  await writeRun(door, bad, 'untouched0000001', bodies(bad.digest));
  await writeRun(door, bad, TAMPERED, bodies(bad.digest), otherRows);
});
afterAll(() => nats?.stop());

describe('replay', () => {
  test('of one run: every entry identical', async () => {
    const { code: exit, stdout, stderr } = await cli('replay', 'untouched', '--json');
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    expect(verification.parse(JSON.parse(stdout))).toEqual({
      workflow: 'bad',
      runId: 'untouched0000001',
      identical: true,
      entries: 4,
      transitions: 7,
      inputs: 5,
      waiting: 0,
    });
    expect((await cli('replay', 'untouched')).stdout).toBe('replayed 4 entries (7 transitions, 5 inputs), identical\n');
  });

  test('of all runs of a workflow', async () => {
    const { code: exit, stdout } = await cli('replay', '--all', '-w', 'good', '--json');
    expect(exit).toBe(0);
    expect(totals.parse(JSON.parse(stdout))).toEqual({
      runs: RUNS,
      identical: RUNS,
      functions: 0,
      entries: 4 * RUNS,
      transitions: 7 * RUNS,
      inputs: 5 * RUNS,
      diverged: [],
    });
  });

  test('of a journal that was tampered with: the entry, the difference, exit 1 and the code', async () => {
    const { code: exit, stdout, stderr } = await cli('replay', TAMPERED, '--json');
    expect({ exit, code: code(stderr) }).toEqual({ exit: 1, code: 'MR_REPLAY_DIVERGED' });
    const { identical, entries, divergence } = verification.parse(JSON.parse(stdout));
    expect({ identical, entries, kind: divergence?.kind }).toEqual({
      identical: false,
      entries: 2,
      kind: 'transitions',
    });
    expect(divergence?.diff.filter(({ side }) => side !== ' ').map(({ side, text }) => side + text.trim())).toEqual([
      // what the step gave, and what the next one was given
      '-"rows": 5',
      '+"rows": 3',
      '-"rows": 5',
      '+"rows": 3',
    ]);
    const people = await cli('replay', TAMPERED);
    expect(people.stdout).toContain(`diverged ${TAMPERED} of bad at entry`);
    expect(people.stdout).toContain('+       "rows": 3');
    expect(people.stderr).toContain('MR_REPLAY_DIVERGED');
  });

  test('of all: the one that diverged stands out', async () => {
    const { code: exit, stdout, stderr } = await cli('replay', '--all', '--json');
    expect({ exit, code: code(stderr) }).toEqual({ exit: 1, code: 'MR_REPLAY_DIVERGED' });
    const found = totals.parse(JSON.parse(stdout));
    expect([found.runs, found.identical, found.diverged.map(({ runId }) => runId)]).toEqual([
      RUNS + 2,
      RUNS + 1,
      [TAMPERED],
    ]);
  });

  test('--at gives the state of then', async () => {
    const state = z
      .object({
        status: z.string(),
        lastEntry: z.number(),
        steps: z.record(z.string(), z.object({ status: z.string() }).loose()),
      })
      .loose();
    const history = await cli('runs', 'history', 'untouched', '--json');
    const { history: lines } = z
      .object({ history: z.array(z.object({ seq: z.number() }).loose()) })
      .loose()
      .parse(JSON.parse(history.stdout));
    const [first] = lines;
    const then = await cli('replay', 'untouched', '--at', String((first?.seq ?? 0) + 1));
    expect(state.parse(JSON.parse(then.stdout))).toMatchObject({
      status: 'running',
      lastEntry: first?.seq,
      steps: { load: { status: 'scheduled' } },
    });
    const before = await cli('replay', 'untouched', '--at', '1', '--json');
    expect({ exit: before.code, code: code(before.stderr) }).toEqual({ exit: 2, code: 'MR_USAGE' });
  });

  test('asked for nothing, or for two things, says so', async () => {
    for (const args of [['replay'], ['replay', 'untouched', '--all'], ['replay', '--all', '--at', '3']]) {
      const { code: exit, stderr } = await cli(...args, '--json');
      expect({ exit, code: code(stderr) }).toEqual({ exit: 2, code: 'MR_USAGE' });
    }
  });
});
