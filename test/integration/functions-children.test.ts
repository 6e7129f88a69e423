/** Child runs and maps of durable functions on a real server, with processes that are killed in the middle. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { fold, type Journal, openJournal } from '../../src/engine/index.ts';
import { type Client, createClient, serveWorkflows, workflow } from '../../src/functions/index.ts';
import type { Json } from '../../src/kernel/index.ts';
import { asking, mapped } from '../kit/functions-worker.ts';
import { type NatsKit, waitFor, withNats } from '../kit/index.ts';

let kit: NatsKit;
let client: Client;
let journal: Journal & { close(): void };
const folder = mkdtempSync(join(tmpdir(), 'millrace-children-'));
const processes: ChildProcess[] = [];

beforeAll(async () => {
  kit = await withNats();
  client = await createClient({ nats: kit.url });
  journal = openJournal(await kit.door());
});
afterEach(() => {
  for (const one of processes.splice(0)) one.kill('SIGKILL');
});
afterAll(async () => {
  journal?.close();
  await client?.close();
  await kit?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function worker(file: string): Promise<ChildProcess> {
  const args = ['--import', 'tsx', join(import.meta.dirname, '../kit/functions-worker.ts'), kit.url, file];
  const started = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  processes.push(started);
  await once(started.stdout ?? started, 'data');
  return started;
}

const state = async (name: string, runId: string) =>
  fold(name, runId, await journal.entries({ workflow: name, runId }));
const lines = (file: string): string[] => readFileSync(file, 'utf8').split('\n').filter(Boolean);

function effects(name: string): string {
  const file = join(folder, name);
  writeFileSync(file, '');
  return file;
}

describe('kill -9', () => {
  test('in the middle of a map: another process goes on, and repeats only what was under way', async () => {
    const file = effects('map');
    const first = await worker(file);
    const run = await client.start(mapped(file), 300, { runId: 'm1' });
    await waitFor('a hundred effects', () => lines(file).length > 100);
    await worker(file);
    first.kill('SIGKILL');
    expect(await run.result()).toBe(299 * 300);
    const done = lines(file);
    expect(new Set(done).size).toBe(300);
    expect(done.length).toBeLessThanOrEqual(305);
  });

  test('of who waits for children, and of who executes them: each child is one run with one result', async () => {
    const file = effects('children');
    const first = await worker(file);
    const run = await client.start(asking(file), null, { runId: 'p1' });
    await waitFor('both questions', () => lines(file).length === 2);
    first.kill('SIGKILL');
    await worker(file);
    const { steps } = await state('asking', 'p1');
    const children = ['first', 'second'].map((step) => steps[step]?.child?.runId ?? '');
    await Promise.all(children.map((runId, n) => client.signal({ name: 'asked' }, runId, 'answer', n)));
    expect(await run.result()).toEqual([0, 1]);
    for (const runId of children) {
      const child = await state('asked', runId);
      expect(child).toMatchObject({ status: 'completed', parent: { workflow: 'asking', runId: 'p1' } });
      expect(lines(file).filter((line) => line === `${runId}/book`)).toHaveLength(1);
    }
  });
});

test('a cancelled parent ends its children; a child of a workflow that nobody knows fails its step', async () => {
  const waits = workflow<null, Json>('kept', {}, (ctx) => ctx.signal('go'));
  const fn = workflow<null, Json>('keeper', {}, async (ctx) => {
    const unknown = await ctx.run('unheard', null).catch((error: { code: string }) => error.code);
    await ctx.run(waits, null);
    return unknown;
  });
  const serving = await serveWorkflows([waits, fn], { nats: kit.url });
  const run = await client.start(fn, null, { runId: 'c1' });
  const runId = await waitFor('the child', async () => (await state('keeper', 'c1')).steps['run:kept']?.child?.runId);
  await waitFor('that it waits', async () => ((await state('kept', runId)).suspended === true ? true : undefined));
  expect((await state('keeper', 'c1')).steps['run:unheard']?.error?.code).toBe('MR_WORKFLOW_MISSING');
  await client.cancel(fn, run.runId, 'not needed');
  await expect(run.result()).rejects.toMatchObject({ code: 'MR_CANCELLED' });
  await expect(client.handle(waits, runId).result()).rejects.toThrow('not needed');
  await serving.drain();
});
