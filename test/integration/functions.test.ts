/** Durable functions on a real server: what the simulation cannot show. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openJournal } from '../../src/engine/index.ts';
import { type Client, createClient, type Serving, serveWorkflows, workflow } from '../../src/functions/index.ts';
import { inputSubject, type Json } from '../../src/kernel/index.ts';
import { counted } from '../kit/functions-worker.ts';
import { define, type NatsKit, waitFor, withNats, workerStep } from '../kit/index.ts';

let kit: NatsKit;
let client: Client;
const folder = mkdtempSync(join(tmpdir(), 'millrace-functions-'));
const children: ChildProcess[] = [];

beforeAll(async () => {
  kit = await withNats();
  client = await createClient({ nats: kit.url });
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await client?.close();
  await kit?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function child(file: string): Promise<ChildProcess> {
  const args = ['--import', 'tsx', join(import.meta.dirname, '../kit/functions-worker.ts'), kit.url, file];
  const started = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(started);
  await once(started.stdout ?? started, 'data');
  return started;
}

/** The types of a run's transitions, entry by entry. */
async function story(name: string, runId: string): Promise<string[][]> {
  const journal = openJournal(await kit.door());
  const entries = await journal.entries({ workflow: name, runId });
  journal.close();
  return entries.map(({ transitions }) => transitions.map(({ type }) => type));
}

async function served(fn: Parameters<typeof serveWorkflows>[0][number], options: object = {}): Promise<Serving> {
  return serveWorkflows([fn], { nats: kit.url, ...options });
}

describe('durable functions on a server', () => {
  test('a run gives its result; one run id is one run', async () => {
    let begun = 0;
    const fn = workflow<number, number>('once', {}, (ctx, n) =>
      ctx.step('double', () => {
        begun++;
        return n * 2;
      }),
    );
    const serving = await served(fn);
    const first = await client.start(fn, 4, { runId: 'r1' });
    expect(await first.result()).toBe(8);
    const second = await client.start(fn, 5, { runId: 'r1' });
    expect(await second.result()).toBe(8);
    expect(begun).toBe(1);
    expect(await story('once', 'r1')).toEqual([['RunStarted', 'StepCompleted', 'RunCompleted']]);
    await serving.drain();
  });

  test('a signal comes to a resting run that no process remembers, and a long sleep is the server’s', async () => {
    const fn = workflow<null, Json>('rests', {}, async (ctx) => {
      const got = await ctx.signal('go');
      await ctx.sleep(2_500);
      return got;
    });
    const serving = await served(fn, { keepResting: 0 });
    const run = await client.start(fn, null);
    await waitFor('that it rests', async () => (await story('rests', run.runId)).at(-1)?.at(-1) === 'RunSuspended');
    await client.signal(fn, run.runId, 'go', { n: 1 });
    expect(await run.result()).toEqual({ n: 1 });
    const types = (await story('rests', run.runId)).flat();
    expect(types.filter((type) => type === 'RunClaimed')).toHaveLength(2);
    await serving.drain();
  });

  test('a drain hands executing runs over at once', async () => {
    const stuck = new Set<string>();
    const make = (who: string) =>
      workflow<null, string>('handed', {}, (ctx) =>
        ctx.step('who', () => {
          if (who === 'new') return who;
          stuck.add(ctx.runId);
          return new Promise<string>(() => {});
        }),
      );
    const old = await served(make('old'), { leaseMs: 60_000 });
    const run = await client.start(make('old'), null);
    await waitFor('the step', () => stuck.size === 1);
    await Promise.all([served(make('new')), old.drain(0)]).then(async ([serving]) => {
      const since = Date.now();
      expect(await run.result()).toBe('new');
      expect(Date.now() - since).toBeLessThan(20_000); // the lease is a minute
      await serving.drain();
    });
  });

  test('a declared workflow keeps its name; what is no input becomes a dead letter', async () => {
    await kit.prepare([define('declared', [workerStep('a')])]);
    const fn = workflow<null, null>('declared', {}, async () => null);
    await expect(served(fn)).rejects.toMatchObject({ code: 'MR_USAGE' });
    const other = workflow<null, null>('poisoned', {}, async () => null);
    const serving = await served(other);
    const { js, jsm } = await kit.door();
    await js.publish(inputSubject('poisoned', 'r1'), 'not json');
    await waitFor('the dead letter', async () => {
      const info = await jsm.streams.info('MR_DEAD', { subjects_filter: 'dead.input.poisoned.>' });
      return Object.keys(info.state.subjects ?? {}).length === 1;
    });
    await serving.drain();
  });

  test('kill -9 of a worker amid 200 runs: each has its result once, each effect happened', async () => {
    const file = join(folder, 'effects');
    writeFileSync(file, '');
    const [first] = [await child(file), await child(file)];
    const fn = counted(file);
    const runs = await Promise.all(Array.from({ length: 200 }, (_, n) => client.start(fn, { n }, { runId: `k${n}` })));
    await waitFor('a hundred effects', () => readFileSync(file, 'utf8').split('\n').length > 100);
    first?.kill('SIGKILL');
    const results = await Promise.all(runs.map((run) => run.result()));
    expect(results).toEqual(Array.from({ length: 200 }, (_, n) => n + 3));
    const effects = new Set(readFileSync(file, 'utf8').split('\n'));
    for (let n = 0; n < 200; n++) for (const step of ['a', 'b', 'c']) expect(effects.has(`k${n}/${step}`)).toBe(true);
    for (const n of [0, 99, 199]) {
      const completed = (await story('counted', `k${n}`)).flat().filter((type) => type === 'StepCompleted');
      expect(completed).toHaveLength(3);
    }
  });
});
