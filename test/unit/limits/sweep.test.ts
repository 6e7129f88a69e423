import { describe, expect, test } from 'vitest';
import { type InputBody, MemoryBroker, type StoredEntry, type Transition } from '../../../src/engine/index.ts';
import { limitKeyToken } from '../../../src/kernel/index.ts';
import { foldLimit, LimitKeeper, LimitSweep, MemoryLimits } from '../../../src/limits/index.ts';
import { noTelemetry } from '../../../src/telemetry/index.ts';
import { ask, BEGIN, free, LIMIT, slots } from '../../kit/limits.ts';
import { waitFor } from '../../kit/wait.ts';

const REF = { limit: LIMIT, token: limitKeyToken(LIMIT, '') };

/** A keeper, a sweep and the journals of runs, all in memory. */
function setUp() {
  const time = { now: BEGIN };
  const clock = { now: () => time.now, sleep: () => new Promise<void>(() => {}) };
  const broker = new MemoryBroker({ clock });
  const limits = new MemoryLimits(broker, 'k1');
  const told: { readonly runId: string; readonly body: InputBody }[] = [];
  const tell = async ({ runId }: { runId: string }, body: InputBody): Promise<void> => void told.push({ runId, body });
  const keeper = new LimitKeeper({ journal: limits, tell, clock, telemetry: noTelemetry });
  limits.consume((delivery) => keeper.handle(delivery));
  const journals = new Map<string, readonly Transition[]>();
  const runs = {
    entries: async ({ runId }: { runId: string }): Promise<readonly StoredEntry[]> => {
      const transitions = journals.get(runId);
      return transitions === undefined ? [] : [{ v: 1, cause: 1, at: BEGIN, transitions, seq: 2 }];
    },
  };
  const sweep = new LimitSweep({ limits, runs, tell, clock, telemetry: noTelemetry });
  const state = async () => foldLimit(LIMIT, await limits.entries(REF));
  const quiet = () => waitFor('everything asked is handled', () => broker.openInputs('limits').length === 0);
  const waits = (queued: boolean): Transition[] => [
    { type: 'RunStarted', digest: 'd', payload: null },
    { type: 'RunQueued', limits: [{ limit: LIMIT, key: '' }] },
    ...(queued ? [] : [{ type: 'RunAdmitted' } as const]),
  ];
  return { time, limits, told, sweep, state, journals, quiet, waits };
}

describe('the sweep', () => {
  test.each([
    ['purged', undefined],
    ['ended', [{ type: 'RunCancelled', reason: 'enough' }]],
    ['retried since', [{ type: 'RunRetried', steps: [] }]],
  ] as const)('W1 takes the slot of a run that was %s, and the next has it', async (_, more) => {
    const { time, limits, sweep, state, journals, quiet, waits } = setUp();
    if (more !== undefined) journals.set('a', [...waits(false), ...more]);
    limits.store(REF, ask('a', slots(1)));
    limits.store(REF, ask('b', slots(1)));
    await quiet();
    journals.set('b', waits(true));
    time.now += 5_000;
    await sweep.sweep();
    await quiet();
    expect((await state()).held.map(({ holder }) => holder.runId)).toEqual(['b']);
  });

  test('leaves alone who has a right to it, and who has only just been granted it', async () => {
    const { time, limits, sweep, state, journals, quiet, waits } = setUp();
    journals.set('a', waits(false));
    limits.store(REF, ask('a', slots(2)));
    time.now += 5_000;
    limits.store(REF, ask('young', slots(2)));
    limits.store(REF, ask('b', slots(2)));
    await quiet();
    await sweep.sweep();
    await quiet();
    expect((await state()).held.map(({ holder }) => holder.runId)).toEqual(['a', 'young']);
  });

  test('W2 tells it again to whom that still waits for it', async () => {
    const { time, limits, told, sweep, journals, quiet, waits } = setUp();
    journals.set('a', waits(true));
    limits.store(REF, ask('a', slots(1)));
    await quiet();
    time.now += 5_000;
    await sweep.sweep();
    expect(told.map(({ runId, body }) => [runId, body.kind === 'slot' && body.slot.token])).toEqual([
      ['a', 1],
      ['a', 1],
    ]);
    journals.set('a', waits(false));
    await sweep.sweep();
    expect(told).toHaveLength(2);
  });

  test('W3 forgets what was idle for ten minutes, nothing sooner, and its tokens grow on', async () => {
    const { time, limits, told, sweep, state, quiet } = setUp();
    limits.store(REF, ask('a', slots(1)));
    limits.store(REF, free('a'));
    await quiet();
    time.now += 599_999;
    await sweep.sweep();
    expect(await limits.refs()).toEqual([REF]);
    time.now += 1;
    await sweep.sweep();
    expect(await limits.refs()).toEqual([]);
    limits.store(REF, ask('b', slots(1)));
    await quiet();
    expect((await state()).held[0]?.token).toBeGreaterThan(told[0]?.body.kind === 'slot' ? told[0].body.slot.token : 0);
  });
});
