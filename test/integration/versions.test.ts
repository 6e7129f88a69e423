/** Versions of a workflow through the command line on a real server: who goes by which, moving, draining, pruning. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { NatsDoor } from '../../src/drivers/index.ts';
import {
  type ControllerService,
  fold,
  type Journal,
  openJournal,
  type RunState,
  startController,
} from '../../src/engine/index.ts';
import type { DefinitionStore } from '../../src/manifests/index.ts';
import {
  define,
  type NatsKit,
  recorder,
  type TinyWorker,
  tinyWorker,
  waitFor,
  withNats,
  workerStep,
} from '../kit/index.ts';
import { runCli } from '../kit/system.ts';

const waits = { ...workerStep('ok', ['a']), action: { kind: 'signal', name: 'go', onTimeout: 'fail' } } as const;
const first = define('order', [workerStep('a'), waits]);
const second = define('order', [workerStep('a'), waits, workerStep('b', ['ok'])]);
const never = define('order', [workerStep('z')]);

let kit: NatsKit;
let door: NatsDoor;
let journal: Journal;
let store: DefinitionStore;
let service: ControllerService;
let worker: TinyWorker;

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  journal = openJournal(door);
  store = await kit.prepare([first]);
  worker = await tinyWorker({ door });
  service = await startController({
    door: await kit.door('controller'),
    definitions: store,
    telemetry: recorder().telemetry,
  });
});
afterAll(async () => {
  await service?.stop();
  await worker?.stop();
  await kit?.stop();
});

const stateOf = async (runId: string): Promise<RunState> =>
  fold('order', runId, await journal.entries({ workflow: 'order', runId }));
const reaches = (runId: string, what: (state: RunState) => boolean): Promise<RunState> =>
  waitFor(`run ${runId}`, async () => {
    const state = await stateOf(runId);
    return what(state) ? state : undefined;
  });
const cli = (...args: string[]) => runCli([...args, '--json'], { MILLRACE_NATS_URL: kit.url });
async function data<T>(schema: z.ZodType<T>, ...args: string[]): Promise<T> {
  return schema.parse(JSON.parse((await cli(...args)).stdout));
}
const versions = z.array(z.object({ digest: z.string(), current: z.boolean(), open: z.number(), ended: z.number() }));

describe('two definitions of one workflow', () => {
  it('a run keeps its own, is moved by the rule, and an old one is taken away when nothing names it', async () => {
    const start = { v: 1, kind: 'start', digest: first.digest, payload: {} } as const;
    await journal.send({ workflow: 'order', runId: 'stays' }, start, { msgId: 'stays' });
    await journal.send({ workflow: 'order', runId: 'moves' }, start, { msgId: 'moves' });
    for (const runId of ['stays', 'moves']) await reaches(runId, (state) => state.steps['ok']?.status === 'waiting');
    await store.put(never);
    await store.put(second);

    expect(await data(versions, 'versions', 'order')).toMatchObject([
      { digest: second.digest, current: true, open: 0, ended: 0 },
      { digest: never.digest, current: false, open: 0, ended: 0 },
      { digest: first.digest, current: false, open: 2, ended: 0 },
    ]);
    const refused = await cli('runs', 'move', 'moves', '--to', never.digest);
    expect(refused.stderr).toContain('step \\"a\\" has begun, and the other definition does not have it');
    await cli('runs', 'move', 'moves', '--to', 'current');
    await reaches('moves', ({ digest }) => digest === second.digest);
    for (const runId of ['stays', 'moves']) {
      const signal = { v: 1, kind: 'signal', name: 'go', payload: null } as const;
      await journal.send({ workflow: 'order', runId }, signal, { msgId: `go:${runId}` });
    }
    const [stayed, moved] = await Promise.all(
      ['stays', 'moves'].map((runId) => reaches(runId, (s) => s.status === 'completed')),
    );
    expect([Object.keys(stayed?.steps ?? {}), Object.keys(moved?.steps ?? {})]).toEqual([
      ['a', 'ok'],
      ['a', 'ok', 'b'],
    ]);

    const drained = await cli('versions', 'drain', 'order', first.digest, '--wait');
    expect([drained.code, JSON.parse(drained.stdout)]).toMatchObject([0, { open: 0, drained: true }]);
    const pruned = z.object({ pruned: z.array(z.string()) });
    // Starts of what was current a moment ago may be on their way.
    expect(await data(pruned, 'versions', 'prune', 'order')).toEqual({ pruned: [] });
  });

  it('says which definitions anything names: runs, past ones too, and starts that wait', async () => {
    await service.stop();
    const late = define('order', [workerStep('late')]);
    const start = { v: 1, kind: 'start', digest: late.digest, payload: {} } as const;
    await journal.send({ workflow: 'order', runId: 'late' }, start, { msgId: 'late' });
    const { openReader } = await import('../../src/replay/index.ts');
    const { jetstream } = await import('@nats-io/jetstream');
    const reader = openReader(jetstream(door.nc), door.jsm);
    expect(await reader.digestsOfWaiting('order')).toEqual([late.digest]);
    await store.keep(late);
    await store.forget('order', never.digest);
    expect((await store.versions('order')).map(({ digest }) => digest).sort()).toEqual(
      [first, second, late].map(({ digest }) => digest).sort(),
    );
    await expect(store.forget('order', second.digest)).rejects.toMatchObject({ code: 'MR_USAGE' });
  });
});
