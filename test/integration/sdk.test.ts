/** One worker and one client for both kinds of workflow, on a real server. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type ControllerService, startController } from '../../src/engine/index.ts';
import {
  client,
  declared,
  isMillraceError,
  type MillraceClient,
  RunError,
  step,
  worker,
  workflow,
} from '../../src/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { define, type NatsKit, waitFor, withNats, workerStep } from '../kit/index.ts';

const Amount = z.object({ n: z.number() });
const double = step({
  name: 'double',
  queue: 'q',
  input: Amount,
  output: Amount,
  run: ({ n }) => {
    if (n > 100) throw new Error('too much');
    return { n: 2 * n };
  },
});
const add = step({ name: 'add', input: Amount, output: Amount, run: ({ n }) => ({ n: n + 1 }) });

const twice = workflow('twice', { input: Amount, output: z.number() }, async (ctx, input) => {
  const once = await ctx.step(double, input);
  return (await ctx.step(double, once)).n;
});
const waits = workflow('waits', { signals: { go: z.number() } }, async (ctx) => ctx.signal('go'));

// Two queues: `double` is on "q", `add` on "default".
const chain = define('chain', [
  { ...workerStep('double'), with: { n: 'payload.n' } },
  {
    ...workerStep('add', ['double']),
    action: { kind: 'worker', handler: 'add', queue: 'default' },
    with: { n: 'steps.double.n' },
  },
]);

let kit: NatsKit;
let controller: ControllerService;
let millrace: MillraceClient;
beforeAll(async () => {
  kit = await withNats();
  const definitions = await kit.prepare([chain]);
  controller = await startController({ door: await kit.door(), definitions, telemetry: noTelemetry });
  millrace = await client({ url: kit.url });
});
afterAll(async () => {
  await millrace?.close();
  await controller?.stop();
  await kit?.stop();
});

const serve = (url: Parameters<typeof worker>[0]['url'] = kit.url) =>
  worker({ url, workflows: [twice, waits], steps: [double, add], leaseMs: 1_000, handleSignals: false });

describe('both kinds of workflow', () => {
  test('are run by one worker and started by one client, once per key', async () => {
    const running = await serve();
    const run = await millrace.start(twice, { n: 3 }, { key: 'k' });
    expect((await millrace.start(twice, { n: 9 }, { key: 'k' })).runId).toBe(run.runId);
    expect(await run.result()).toBe(12);
    // snippet: declared
    const report = declared('chain', { input: Amount, output: z.object({ add: Amount }) });
    const declaredRun = await millrace.start(report, { n: 4 }, { key: 'day-1' });
    const { add: last } = await declaredRun.result();
    expect(last.n).toBe(9);
    // end
    expect((await millrace.start('chain', { n: 5 }, { key: 'day-1' })).runId).toBe(declaredRun.runId);
    expect(await millrace.run('chain', declaredRun.runId).result()).toEqual({ add: { n: 9 } });
    expect((await declaredRun.state()).steps['double']?.output).toEqual({ n: 8 });
    await running.drain();
  });

  test('that fail give a RunError, whatever their kind', async () => {
    const running = await serve();
    const [code, manifest] = await Promise.all([
      millrace.start(twice, { n: 101 }),
      millrace.start('chain', { n: 101 }),
    ]);
    await expect(manifest.result()).rejects.toThrow(RunError);
    await code.kill('enough');
    await expect(code.result()).rejects.toThrow(RunError);
    await running.drain();
  });

  test('outlive their worker: another goes on', async () => {
    const door = await kit.door();
    const first = await serve(door);
    const run = await millrace.start(waits, null);
    await waitFor('the wait', async () => (await run.state().catch(() => undefined))?.suspended);
    await first.drain();
    const second = await serve();
    await run.signal('go', 7);
    expect(await run.result()).toBe(7);
    await second.drain();
    expect(door.nc.isClosed()).toBe(false);
  });
});

describe('what does not fit is refused before it is sent', () => {
  test('inputs, signals, names, runs that are not there', async () => {
    const code = async (doing: Promise<unknown>): Promise<unknown> => {
      const error = await doing.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      return isMillraceError(error) ? error.code : error;
    };
    expect(await code(millrace.start(twice, { n: 'x' } as never))).toBe('MR_INPUT_INVALID');
    expect(await code(millrace.start(twice, { n: 1 }, { runId: 'a b' }))).toBe('MR_INPUT_INVALID');
    expect(await code(millrace.run(waits, 'r').signal('go', 'x' as never))).toBe('MR_INPUT_INVALID');
    expect(await code(millrace.start('nothing'))).toBe('MR_WORKFLOW_MISSING');
    expect(await code(millrace.run('chain', 'never').state())).toBe('MR_RUN_MISSING');
    expect(await code(worker({ url: kit.url }))).toBe('MR_USAGE');
    expect(() => declared('a b')).toThrow(expect.objectContaining({ code: 'MR_USAGE' }));
  });
});
