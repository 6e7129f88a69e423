/** Durable functions while processes die: the server under many executions, a worker between signals. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Client, createClient, serveWorkflows, workflow } from '../../src/functions/index.ts';
import { asked } from '../kit/functions-worker.ts';
import { Collector, deferred, type NatsKit, waitFor, withNats } from '../kit/index.ts';
import { type RunLog, readRuns } from '../kit/runs.ts';

const STEPS = ['a', 'b', 'c'];
let kit: NatsKit;
let client: Client;
const folder = mkdtempSync(join(tmpdir(), 'millrace-outages-'));
const children: ChildProcess[] = [];

beforeEach(async () => {
  kit = await withNats();
  client = await createClient({ nats: kit.url });
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await client?.close();
  await kit?.stop();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function worker(file: string): Promise<ChildProcess> {
  const args = ['--import', 'tsx', join(import.meta.dirname, '../kit/functions-worker.ts'), kit.url, file];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout ?? child, 'data');
  return child;
}

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** However often it was taken over: a run has started once, each step has one result, and it has ended once. */
function expectOnce({ runId, entries }: RunLog, steps: readonly string[]): void {
  const transitions = entries.flatMap((entry) => entry.transitions);
  const types = transitions.map(({ type }) => type);
  expect(
    {
      started: types.filter((type) => type === 'RunStarted').length,
      completed: transitions.flatMap((one) => (one.type === 'StepCompleted' ? [one.step] : [])),
      ends: types.filter((type) => type === 'RunCompleted').length,
      last: types.at(-1),
    },
    `${runId}: ${types.join(' ')}`,
  ).toEqual({ started: 1, completed: steps, ends: 1, last: 'RunCompleted' });
}

describe('kill -9', () => {
  test('of the server while 300 functions execute: all end, effects at least once, results once', async () => {
    const effects = new Collector<string>();
    const dying = deferred();
    // Half of them have a step under way when the server dies, and want to store its result then; the others are where they are.
    const held = (n: number, step: string): boolean => n % 2 === 0 && step === 'b';
    const fn = workflow<number, number>('under', {}, async (ctx, n) => {
      let sum = n;
      for (const step of STEPS) {
        sum = await ctx.step(step, async () => {
          effects.add(`${ctx.runId}/${step}`);
          if (held(n, step)) await dying.promise;
          return sum + 1;
        });
      }
      return sum;
    });
    const serving = await serveWorkflows([fn], { nats: kit.url, leaseMs: 3_000 });
    const runs = await Promise.all(range(300).map((n) => client.start(fn, n, { runId: `r${n}` })));
    const inB = (items: readonly string[]): number => items.filter((item) => /[02468]\/b$/.test(item)).length;
    await effects.until('that half of them are in b', (items) => inB(items) === 150, 60_000);
    const killed = kit.server.kill();
    dying.resolve();
    await killed;
    await kit.server.restart();
    expect(await Promise.all(runs.map((run) => run.result()))).toEqual(range(300).map((n) => n + 3));
    const happened = new Set(effects.items);
    for (const n of range(300)) for (const step of STEPS) expect(happened.has(`r${n}/${step}`)).toBe(true);
    const logs = await readRuns(await kit.door(), 'under');
    expect(logs).toHaveLength(300);
    for (const log of logs) expectOnce(log, STEPS);
    await serving.drain();
  });

  test('of one of two workers between signals: every run gets its own and ends', async () => {
    const file = join(folder, 'asked');
    writeFileSync(file, '');
    const lines = (step: string): Set<string> =>
      new Set(
        readFileSync(file, 'utf8')
          .split('\n')
          .filter((line) => line.endsWith(`/${step}`)),
      );
    const [doomed] = await Promise.all([worker(file), worker(file)]);
    const fn = asked(file);
    const runs = await Promise.all(range(120).map((n) => client.start(fn, null, { runId: `s${n}` })));
    const answer = (numbers: readonly number[]) =>
      Promise.all(numbers.map((n) => client.signal(fn, `s${n}`, 'answer', { n })));
    // Some come before they are waited for, some to runs at rest, some while nobody has them.
    await answer(range(40));
    await waitFor(
      'that all have asked and some have booked',
      () => lines('ask').size === 120 && lines('book').size >= 10,
      60_000,
    );
    const between = answer(range(80).slice(40));
    doomed.kill('SIGKILL');
    await Promise.all([between, once(doomed, 'exit')]);
    await answer(range(120).slice(80));
    expect(await Promise.all(runs.map((run) => run.result()))).toEqual(range(120).map((n) => ({ n })));
    expect([lines('ask').size, lines('book').size]).toEqual([120, 120]);
    const logs = await readRuns(await kit.door(), 'asked');
    expect(logs).toHaveLength(120);
    for (const log of logs) expectOnce(log, ['ask', 'signal:answer', 'book']);
  });
});
