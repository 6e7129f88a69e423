import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectNats, type NatsDoor, openCommitter } from '../../src/drivers/index.ts';
import { type Journal, type LogEntry, openJournal, type RunRef } from '../../src/engine/index.ts';
import { createClient, workflow } from '../../src/functions/index.ts';
import { isMillraceError, logSubject, workflowStream } from '../../src/kernel/index.ts';
import { define, type NatsKit, waitFor, withNats, workerStep } from '../kit/index.ts';

let kit: NatsKit;
let door: NatsDoor;
const WORKFLOW = 'grouped';
const ALWAYS = { groupCommit: 'always', atLeast: 2 } as const;

const entry = (cause: number): LogEntry => ({
  v: 1,
  cause,
  at: 1,
  transitions: [{ type: 'SignalReceived', name: 's', payload: null }],
});

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  await kit.prepare([define(WORKFLOW, [workerStep('one')])]);
});
afterAll(() => kit?.stop());

/** How many messages of the runs' logs came in batches. */
async function grouped(runIds: readonly string[]): Promise<number> {
  let found = 0;
  for (const runId of runIds) {
    const last = await door.jsm.streams.getMessage(workflowStream(WORKFLOW), {
      last_by_subj: logSubject(WORKFLOW, runId),
    });
    if (last?.header.has('Nats-Batch-Id')) found++;
  }
  return found;
}

describe('group commit on a server', () => {
  it('G1 G5 stores many runs in batches; each append knows its own sequence, the stale ones alone are refused', async () => {
    const journal = openJournal(door, ALWAYS);
    const runs = Array.from({ length: 200 }, (_, i): RunRef => ({ workflow: WORKFLOW, runId: `many-${i}` }));
    const stale = new Set([3, 77, 150]);
    const results = await Promise.all(runs.map((run, i) => journal.append(run, entry(i), stale.has(i) ? 9 : 0)));
    expect(results.flatMap(({ ok }, i) => (ok ? [] : [i]))).toEqual([...stale]);
    for (const [i, result] of results.entries()) {
      const run = runs[i];
      if (run === undefined) continue;
      const expected = result.ok ? [{ ...entry(i), seq: result.value }] : [];
      expect(await journal.entries(run)).toEqual(expected);
    }
    expect(await grouped(runs.map(({ runId }) => runId))).toBeGreaterThan(100);
    journal.close();
  });

  it('G1 falls back to single publishes on a stream that takes no batches', async () => {
    await door.jsm.streams.add({ name: 'NOBATCH', subjects: ['nobatch.*'] });
    const committer = openCommitter(door, ALWAYS);
    const all = Array.from({ length: 50 }, (_, i) =>
      committer.publish('NOBATCH', `nobatch.${i}`, new Uint8Array([1]), {}),
    );
    const outcomes = await Promise.all(all);
    expect(outcomes.every(({ kind }) => kind === 'stored')).toBe(true);
    expect((await door.jsm.streams.info('NOBATCH')).state.messages).toBe(50);
    committer.close();
  });

  it('a stream that is not there refuses each with 503', async () => {
    const committer = openCommitter(door, ALWAYS);
    const all = Array.from({ length: 20 }, (_, i) => committer.publish('NONE', `none.${i}`, new Uint8Array([1]), {}));
    expect((await Promise.all(all)).map((one) => one.kind === 'refused' && one.code)).toEqual(Array(20).fill(503));
    committer.close();
  });

  it('loses no acknowledged append and stores none twice when the server is killed in the middle of batches', async () => {
    const own = await connectNats({ url: kit.url, name: 'own' });
    const journal: Journal & { close(): void } = openJournal(own, ALWAYS);
    let stop = false;
    let acknowledged = 0;
    let lost = 0;
    const lanes = Array.from({ length: 128 }, (_, i) => ({
      run: { workflow: WORKFLOW, runId: `crash-${i}` },
      causes: [] as number[],
    }));
    /** Appends to its run until told to stop; what it knows to be stored it writes down. */
    const lane = async ({ run, causes }: (typeof lanes)[number]): Promise<void> => {
      let last = 0;
      for (let cause = 1; !stop; ) {
        try {
          const result = await journal.append(run, entry(cause), last);
          if (!result.ok) throw new Error(`a conflict on ${run.runId}, with nobody else writing`);
          last = result.value;
          causes.push(cause++);
          acknowledged++;
        } catch (error) {
          if (!isMillraceError(error, 'MR_NATS')) throw error;
          lost++;
          const entries = await waitFor('the server', () => journal.entries(run).catch(() => undefined));
          const stored = entries.at(-1);
          if (stored?.cause !== cause) continue;
          last = stored.seq;
          causes.push(cause++);
        }
      }
    };
    const running = Promise.all(lanes.map(lane));
    for (const target of [2_000, 4_000]) {
      await waitFor(`${target} appends`, async () => acknowledged > target || undefined);
      await kit.server.kill();
      await kit.server.restart();
    }
    await waitFor('more appends', async () => acknowledged > 5_000 || undefined);
    stop = true;
    await running;
    for (const { run, causes } of lanes) {
      expect((await journal.entries(run)).map(({ cause }) => cause)).toEqual(causes);
    }
    expect(await grouped(lanes.map(({ run }) => run.runId))).toBeGreaterThan(64);
    expect(lost + acknowledged).toBeGreaterThan(5_000);
    journal.close();
    await own.close();
  });

  it.each([
    ['always', (batched: number) => expect(batched).toBeGreaterThan(50)],
    ['never', (batched: number) => expect(batched).toBe(0)],
  ] as const)('is %s where the environment says so: a client given nothing but an address', async (mode, expected) => {
    const name = `env-${mode}`;
    await kit.prepare([define(name, [workerStep('one')])]);
    process.env['MILLRACE_GROUP_COMMIT'] = mode;
    const client = await createClient({ nats: kit.url });
    try {
      const fn = workflow<number, null>(name, {}, async () => null);
      await Promise.all(Array.from({ length: 200 }, (_, n) => client.start(fn, n)));
    } finally {
      delete process.env['MILLRACE_GROUP_COMMIT'];
      await client.close();
    }
    const seqs = Array.from({ length: 200 }, (_, i) => i + 1);
    const starts = await Promise.all(seqs.map((seq) => door.jsm.streams.getMessage(workflowStream(name), { seq })));
    expected(starts.filter((start) => start?.header.has('Nats-Batch-Id')).length);
  });
});
