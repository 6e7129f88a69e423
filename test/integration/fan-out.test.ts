/** Steps over lists on a real server: the documented example, and a controller killed amid a thousand items. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { freePort } from '../../ops/stack/index.ts';
import type { NatsDoor } from '../../src/drivers/index.ts';
import { fold, isEnded, type Journal, openJournal, type RunRef, type RunState } from '../../src/engine/index.ts';
import { checkManifests } from '../../src/manifests/index.ts';
import {
  define,
  type NatsKit,
  PATIENT,
  type TinyWorker,
  tinyWorker,
  waitFor,
  withNats,
  workerStep,
} from '../kit/index.ts';
import { runCli } from '../kit/system.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
let kit: NatsKit;
let door: NatsDoor;
let journal: Journal;
let worker: TinyWorker | undefined;
const children: ChildProcess[] = [];

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  journal = openJournal(door);
});
afterAll(() => kit?.stop());
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await worker?.stop();
  worker = undefined;
});

/** A controller in a process of its own. */
async function controller(): Promise<ChildProcess> {
  const port = await freePort();
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', 'controller'], {
    cwd: ROOT,
    env: { ...process.env, MILLRACE_NATS_URL: kit.url, MILLRACE_HTTP_PORT: String(port) },
    stdio: 'ignore',
  });
  children.push(child);
  await waitFor(
    'the controller to be ready',
    async () => {
      if (child.exitCode !== null) throw new Error(`it exited ${child.exitCode}`);
      const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
      return response?.ok === true ? true : undefined;
    },
    60_000,
  );
  return child;
}

const stateOf = async (run: RunRef): Promise<RunState> => fold(run.workflow, run.runId, await journal.entries(run));
const ended = (run: RunRef): Promise<RunState> =>
  waitFor(
    `the end of ${run.runId}`,
    async () => {
      const state = await stateOf(run);
      return isEnded(state) ? state : undefined;
    },
    60_000,
  );

describe('a step over a list', () => {
  it('runs as in docs/manifests.md', async () => {
    const [text = ''] =
      /(?<=```yaml\n)apiVersion[^`]*?thumbnails[\s\S]*?(?=```)/.exec(readFileSync('docs/manifests.md', 'utf8')) ?? [];
    const { definitions, problems } = checkManifests([{ file: 'thumbnails.yaml', text }]);
    expect(problems).toEqual([]);
    const [thumbnails] = definitions;
    if (thumbnails === undefined) throw new Error('no definition');
    await kit.prepare([thumbnails]);
    const files = [
      { name: 'a', width: 300 },
      { name: 'b', width: 100 },
      { name: 'broken', width: 900 },
    ];
    worker = await tinyWorker({
      door,
      work({ step, input }) {
        if (step === 'pages') return { files };
        if (step === 'report') return input;
        if (JSON.stringify(input).includes('broken')) throw new Error('not an image');
        return input;
      },
    });
    await controller();
    const run = { workflow: 'thumbnails', runId: 't1' };
    await journal.send(run, { v: 1, kind: 'start', digest: thumbnails.digest, payload: {} }, { msgId: 't1' });
    const { steps } = await ended(run);
    expect(steps['shrink']?.output).toEqual([
      { ok: true, output: { file: 'a', place: 0 } },
      { ok: true, output: null, skipped: true },
      { ok: false, error: { code: 'MR_STEP_FAILED', message: 'not an image' } },
    ]);
    expect(steps['report']?.output).toEqual({ bad: 1 });
  });

  it('a thousand items, and kill -9 of a controller amid them: each is done once, the list is in order', async () => {
    const count = 1_000;
    const work = workerStep('each', [], {
      retry: PATIENT,
      timeoutMs: 60_000,
      with: { n: 'item' },
      forEach: { items: 'payload.list', maxParallel: 50, onFailure: 'fail' },
    });
    const thousand = define('thousand', [work, workerStep('sum', ['each'], { with: { all: 'size(steps.each)' } })]);
    await kit.prepare([thousand]);
    let doomed: ChildProcess | undefined;
    worker = await tinyWorker({
      door,
      work({ step, input }) {
        if (step === 'each#300') doomed?.kill('SIGKILL');
        return input;
      },
    });
    [doomed] = await Promise.all([controller(), controller()]);
    const died = once(doomed, 'exit');
    const run = { workflow: 'thousand', runId: 'k1' };
    const payload = { list: Array.from({ length: count }, (_, n) => n * 2) };
    await journal.send(run, { v: 1, kind: 'start', digest: thousand.digest, payload }, { msgId: 'k1' });
    const state = await ended(run);
    expect((await died)[1]).toBe('SIGKILL');
    expect(state.status).toBe('completed');
    expect(state.steps['each']?.output).toEqual(payload.list.map((n) => ({ n })));
    expect(state.steps['sum']?.output).toEqual({ all: count });
    const begun = worker.begun.map(({ step, attempt }) => `${step}/${attempt}`);
    expect([begun.length, new Set(begun).size]).toEqual([count + 1, count + 1]);

    const schema = z.object({
      items: z.undefined().optional(),
      steps: z.array(
        z.object({
          name: z.string(),
          items: z.object({ completed: z.number(), list: z.array(z.unknown()).optional() }).optional(),
        }),
      ),
    });
    const show = async (...args: string[]) => {
      const { stdout } = await runCli(['runs', 'show', 'k1', ...args], { MILLRACE_NATS_URL: kit.url });
      return stdout;
    };
    expect(schema.parse(JSON.parse(await show('--json'))).steps[0]?.items).toEqual(
      expect.objectContaining({ completed: count }),
    );
    expect(schema.parse(JSON.parse(await show('--json', '--items'))).steps[0]?.items?.list).toHaveLength(count);
    expect(await show()).toMatch(/each .*1000 of 1000 completed/);
    expect(await show('--items')).toContain('each#777');
  });
});
