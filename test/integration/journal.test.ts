import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectNats, type NatsDoor } from '../../src/drivers/index.ts';
import { type InputDelivery, type JetStreamJournalOptions, type Journal, openJournal } from '../../src/engine/index.ts';
import { CONTROLLER_CONSUMER, isMillraceError, logSubject, workflowStream } from '../../src/kernel/index.ts';
import { journalContract } from '../contract/journal.ts';
import { Collector, define, type NatsKit, waitFor, withNats, workerStep } from '../kit/index.ts';

let kit: NatsKit;
let door: NatsDoor;
let workflows = 0;

const freshWorkflow = async (): Promise<string> => {
  const definition = define(`w${++workflows}`, [workerStep('one')]);
  await kit.prepare([definition]);
  return definition.name;
};
const consumerOf = (workflow: string) => door.jsm.consumers.info(workflowStream(workflow), CONTROLLER_CONSUMER);

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
});
afterAll(() => kit?.stop());

// Batches of two, so that the few messages of the suite come into some.
const MODES: readonly JetStreamJournalOptions[] = [
  { groupCommit: 'auto' },
  { groupCommit: 'always', atLeast: 2 },
  { groupCommit: 'never' },
];

describe.each(MODES)('journal on JetStream, group commit $groupCommit', (options) => {
  journalContract(() => ({
    client: async () => openJournal(await kit.door(), options),
    freshWorkflow,
    tick: async () => undefined,
  }));
});

describe('journal on JetStream, when the server misbehaves', () => {
  const body = (name: string) => ({ v: 1, kind: 'signal', name, payload: null }) as const;
  const log = (cause: number) =>
    ({ v: 1, cause, at: 1, transitions: [{ type: 'SignalReceived', name: 's', payload: null }] }) as const;

  it('refuses an entry larger than the server takes, with both sizes, and stores nothing', async () => {
    const run = { workflow: await freshWorkflow(), runId: 'big' };
    const journal = openJournal(door);
    const big = {
      ...log(1),
      transitions: [{ type: 'SignalReceived', name: 's', payload: 'x'.repeat(2_000_000) }],
    } as const;
    const error = await journal.append(run, big, 0).catch((e: unknown) => e);
    expect(isMillraceError(error, 'MR_PAYLOAD_TOO_LARGE')).toBe(true);
    expect(String(error)).toMatch(/2000\d+ bytes.*1044480/);
    expect(await journal.entries(run)).toEqual([]);
  });

  it('says so when a stored entry is not JSON', async () => {
    const run = { workflow: await freshWorkflow(), runId: 'corrupt' };
    await door.js.publish(logSubject(run.workflow, run.runId), 'not json');
    const error = await openJournal(door)
      .entries(run)
      .catch((e: unknown) => e);
    expect(isMillraceError(error, 'MR_JOURNAL_CORRUPT')).toBe(true);
  });

  it('goes on when its consumer is deleted and created again', async () => {
    const definition = define(`w${++workflows}`, [workerStep('one')]);
    await kit.prepare([definition]);
    const run = { workflow: definition.name, runId: 'r' };
    const journal = openJournal(door);
    const seen = new Collector<InputDelivery>();
    const consumption = await journal.consume(run.workflow, async (delivery) => {
      delivery.ack();
      seen.add(delivery);
    });
    await journal.send(run, body('before'), { msgId: 'before' });
    await seen.until('one', (items) => items.length === 1);
    await door.jsm.consumers.delete(workflowStream(run.workflow), CONTROLLER_CONSUMER);
    const { seq } = await journal.send(run, body('after'), { msgId: 'after' });
    await kit.prepare([definition]);
    await seen.until('the input sent without a consumer', (items) => items.some((item) => item.seq === seq));
    await consumption.stop();
  });

  it('survives kill -9 and restart of the server: consumption goes on, an append in the gap is known or fails', async () => {
    const run = { workflow: await freshWorkflow(), runId: 'r' };
    const journal: Journal = openJournal(door);
    const seen = new Collector<InputDelivery>();
    const consumption = await journal.consume(run.workflow, async (delivery) => {
      delivery.ack();
      seen.add(delivery);
    });
    const first = await journal.append(run, log(1), 0);
    if (!first.ok) throw new Error('conflict');
    await kit.server.kill();
    const inTheGap = journal.append(run, log(2), first.value).catch((e: unknown) => e);
    await kit.server.restart();
    const outcome = await inTheGap;
    const entries = await waitFor('the server', () => journal.entries(run).catch(() => undefined));
    const causes = entries.map(({ cause }) => cause);
    if (isMillraceError(outcome)) expect(outcome.next).toBe('retry');
    else expect(causes).toEqual([1, 2]);
    expect(causes.length).toBeLessThanOrEqual(2);
    await waitFor('a send', () => journal.send(run, body('later'), { msgId: 'later' }).catch(() => undefined));
    await seen.until('the input after the restart', (items) => items.length === 1);
    await consumption.stop();
    await waitFor('the ack', async () => (await consumerOf(run.workflow)).num_ack_pending === 0);
  });

  it('an append whose acknowledgement was lost is found by its cause; another one there is a conflict', async () => {
    const run = { workflow: await freshWorkflow(), runId: 'lost' };
    const lossy = await connectNats({ url: kit.url, name: 'lossy' });
    const journal = openJournal(lossy);
    const stored = await openJournal(door).append(run, log(1), 0);
    if (!stored.ok) throw new Error('conflict');
    // The same controller tries again after a lost answer: closing the publisher makes every outcome unknown.
    const again = openJournal(lossy);
    const pending = again.append(run, log(1), 0);
    again.close();
    expect(await pending).toEqual({ ok: true, value: stored.value });
    const other = openJournal(lossy);
    const conflicting = other.append(run, log(2), 0);
    other.close();
    expect(await conflicting).toEqual({ ok: false, error: 'conflict' });
    journal.close();
    await lossy.close();
  });

  it('of several entries with one cause only the same bytes are our own after a lost acknowledgement', async () => {
    const run = { workflow: await freshWorkflow(), runId: 'one-cause' };
    const lossy = await connectNats({ url: kit.url, name: 'lossy' });
    const waits = (step: string) =>
      ({ v: 1, cause: 1, at: 1, transitions: [{ type: 'SignalAwaited', step, attempt: 1, name: 's' }] }) as const;
    /** What a writer learns whose publisher is closed before the answer comes. */
    const unanswered = async (step: string, expectedLast: number) => {
      const journal = openJournal(lossy);
      const pending = journal.append(run, waits(step), expectedLast);
      journal.close();
      return pending;
    };
    const journal = openJournal(door);
    const first = await journal.append(run, waits('first'), 0);
    if (!first.ok) throw new Error('conflict');
    const taker = await journal.append(run, waits('of another'), first.value);
    if (!taker.ok) throw new Error('conflict');
    expect(await unanswered('of mine', first.value)).toEqual({ ok: false, error: 'conflict' });
    expect(await unanswered('of another', first.value)).toEqual({ ok: true, value: taker.value });
    // What comes after what we expected decides, however many follow it.
    expect(await unanswered('of another', 0)).toEqual({ ok: false, error: 'conflict' });
    expect((await journal.entries(run)).map(({ seq }) => seq)).toEqual([first.value, taker.value]);
    journal.close();
    await lossy.close();
  });
});
