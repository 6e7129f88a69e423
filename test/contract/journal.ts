/** What every journal promises (J1 to J4 of src/engine/journal/port.ts), run over each adapter. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { InputBody, InputDelivery, Journal, LogEntry, RunRef } from '../../src/engine/index.ts';
import { Collector } from '../kit/wait.ts';

export interface JournalUnderTest {
  /** A client of the store; two clients are two processes. */
  client(): Promise<Journal>;
  /** A workflow nothing has been written to, with its stream and consumer. */
  freshWorkflow(): Promise<string>;
  /** Waits until the store's clock shows another millisecond. */
  tick(): Promise<void>;
}

const decoder = new TextDecoder();
const signal = (name: string): InputBody => ({ v: 1, kind: 'signal', name, payload: null });
const nameOf = (data: Uint8Array): string => (JSON.parse(decoder.decode(data)) as { name: string }).name;
const entry = (cause: number, at = 1_700_000_000_000): LogEntry => ({
  v: 1,
  cause,
  at,
  transitions: [{ type: 'SignalReceived', name: `n${cause}`, payload: { text: 'ünï' } }],
});

interface Context {
  a: Journal;
  b: Journal;
  run: RunRef;
  other: RunRef;
  under: JournalUnderTest;
}

export function journalContract(setup: () => JournalUnderTest): void {
  const c = {} as Context;

  beforeEach(async () => {
    c.under = setup();
    [c.a, c.b] = [await c.under.client(), await c.under.client()];
    const workflow = await c.under.freshWorkflow();
    c.run = { workflow, runId: 'r1' };
    c.other = { workflow, runId: 'r2' };
  });

  describe('log', () => logContract(c));
  describe('parts of a log', () => trimContract(c));
  describe('inputs', () => inputsContract(c));
  describe('deliveries', () => deliveriesContract(c));
  describe('consumers', () => consumersContract(c));
}

function trimContract(c: Context): void {
  it('gives only what is behind an entry', async () => {
    const first = await c.a.append(c.run, entry(1), 0);
    if (!first.ok) throw new Error('conflict');
    const second = await c.a.append(c.run, entry(2), first.value);
    if (!second.ok) throw new Error('conflict');
    expect(await c.b.entries(c.run, first.value)).toEqual([{ ...entry(2), seq: second.value }]);
    expect(await c.b.entries(c.run, second.value)).toEqual([]);
  });

  it('trims: the inputs and the entries before the given one are gone, and the fence still stands', async () => {
    const sent = await c.a.send(c.run, signal('one'), { msgId: 'm1' });
    const kept = await c.a.send(c.run, signal('two'), { msgId: 'm2' });
    const other = await c.a.append(c.other, entry(7), 0);
    const first = await c.a.append(c.run, entry(sent.seq), 0);
    if (!first.ok || !other.ok) throw new Error('conflict');
    const second = await c.a.append(c.run, entry(kept.seq), first.value);
    if (!second.ok) throw new Error('conflict');
    for (let time = 0; time < 2; time++) await c.a.trim(c.run, second.value, [sent.seq]);
    expect(await c.b.entries(c.run)).toEqual([{ ...entry(kept.seq), seq: second.value }]);
    expect(await c.b.entries(c.other)).toHaveLength(1);
    const inputs = await c.b.inputsBetween(c.run, 0, Number.MAX_SAFE_INTEGER);
    expect(inputs.map(({ seq }) => seq)).toEqual([kept.seq]);
    expect((await c.a.append(c.run, entry(9), first.value)).ok).toBe(false);
    expect((await c.a.append(c.run, entry(9), second.value)).ok).toBe(true);
  });
}

function logContract(c: Context): void {
  it('gives back what was appended, oldest first, and nothing of other runs', async () => {
    const first = await c.a.append(c.run, entry(1), 0);
    if (!first.ok) throw new Error('conflict');
    await c.a.append(c.other, entry(7), 0);
    const second = await c.a.append(c.run, entry(2), first.value);
    if (!second.ok) throw new Error('conflict');
    expect(await c.b.entries(c.run)).toEqual([
      { ...entry(1), seq: first.value },
      { ...entry(2), seq: second.value },
    ]);
    expect(await c.b.runIds(c.run.workflow)).toEqual(expect.arrayContaining(['r1', 'r2']));
  });

  it('has no entries of a run nobody wrote to', async () => {
    expect(await c.a.entries({ ...c.run, runId: 'nobody' })).toEqual([]);
    expect(await c.a.runIds(c.run.workflow)).toEqual([]);
  });

  it('J1 refuses an append that expects an older end, and one that expects a newer', async () => {
    const first = await c.a.append(c.run, entry(1), 0);
    expect(first.ok).toBe(true);
    expect(await c.b.append(c.run, entry(2), 0)).toEqual({ ok: false, error: 'conflict' });
    expect(await c.b.append(c.run, entry(2), 999)).toEqual({ ok: false, error: 'conflict' });
    expect((await c.b.entries(c.run)).map(({ cause }) => cause)).toEqual([1]);
  });

  it('J1 lets exactly one of many appends at the same place through', async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? c.a : c.b).append(c.run, entry(i + 1), 0)),
    );
    expect(results.filter(({ ok }) => ok)).toHaveLength(1);
    expect(await c.a.entries(c.run)).toHaveLength(1);
  });

  it('J2 reads every entry of a long log right after the last append', async () => {
    let last = 0;
    for (let i = 1; i <= 60; i++) {
      const appended = await c.a.append(c.run, entry(i), last);
      if (!appended.ok) throw new Error('conflict');
      last = appended.value;
      if (i % 20 === 0) expect((await c.b.entries(c.run)).map(({ cause }) => cause)).toHaveLength(i);
    }
    expect((await c.b.entries(c.run)).at(-1)?.seq).toBe(last);
  });
}

function inputsContract(c: Context): void {
  it('J4 stores an input once per message id', async () => {
    const first = await c.a.send(c.run, signal('x'), { msgId: 'id1' });
    const again = await c.b.send(c.run, signal('x'), { msgId: 'id1' });
    expect(first.duplicate).toBe(false);
    expect(again).toEqual({ seq: first.seq, duplicate: true });
    const third = await c.b.send(c.run, signal('x'), { msgId: 'id2' });
    expect(third.duplicate).toBe(false);
  });

  it('J4 stores a first input only while its run has none, whatever its message id', async () => {
    const first = await c.a.send(c.run, signal('x'), { msgId: 'f1', first: true });
    expect(first.duplicate).toBe(false);
    expect(await c.b.send(c.run, signal('x'), { msgId: 'f1', first: true })).toEqual({ ...first, duplicate: true });
    await c.a.send(c.run, signal('y'), { msgId: 'f2' });
    expect(await c.b.send(c.run, signal('x'), { msgId: 'f3', first: true })).toEqual({ ...first, duplicate: true });
    const { seq } = await c.a.send(c.run, signal('z'), { msgId: 'f4' });
    expect(await c.a.inputsBetween(c.run, 0, seq)).toHaveLength(2);
  });

  it('lists the inputs of one run strictly between two sequences', async () => {
    const seqs: number[] = [];
    for (const name of ['a', 'b', 'c', 'd']) {
      seqs.push((await c.a.send(c.run, signal(name), { msgId: name, headers: { 'X-Name': name } })).seq);
      await c.a.send(c.other, signal('noise'), { msgId: `noise-${name}` });
    }
    const [first = 0, , , fourth = 0] = seqs;
    const between = await c.b.inputsBetween(c.run, first, fourth);
    expect(between.map(({ data }) => nameOf(data))).toEqual(['b', 'c']);
    expect(between[0]).toMatchObject({ run: c.run, seq: seqs[1], headers: { 'X-Name': 'b' } });
    expect(await c.b.inputsBetween(c.run, fourth, fourth + 1)).toEqual([]);
    expect((await c.b.inputsBetween(c.run, 0, 1_000_000)).map(({ seq }) => seq)).toEqual(seqs);
  });

  it('shows the same time to a delivery and to a look-up', async () => {
    const delivered = new Collector<InputDelivery>();
    for (let i = 0; i < 5; i++) {
      await c.a.send(c.run, signal(`t${i}`), { msgId: `t${i}` });
      await c.under.tick();
    }
    const consumption = await c.a.consume(c.run.workflow, async (delivery) => {
      delivery.ack();
      delivered.add(delivery);
    });
    await delivered.until('five deliveries', (items) => items.length === 5);
    await consumption.stop();
    const looked = await c.a.inputsBetween(c.run, 0, 1_000_000);
    expect(looked.map(({ at }) => at)).toEqual(delivered.items.map(({ at }) => at));
  });
}

function deliveriesContract(c: Context): void {
  it('J3 delivers again what was given back, with a higher count, and not what was acknowledged', async () => {
    const seen: string[] = [];
    const done = new Collector<string>();
    const consumption = await c.a.consume(c.run.workflow, async (delivery) => {
      const name = nameOf(delivery.data);
      seen.push(`${name}/${delivery.deliveries}`);
      if (name === 'again' && delivery.deliveries < 3) return delivery.nak();
      if (name === 'term') delivery.term('because');
      else delivery.ack();
      done.add(name);
    });
    for (const name of ['again', 'once', 'term']) await c.a.send(c.run, signal(name), { msgId: name });
    await done.until('all three', (names) => names.length === 3);
    await consumption.stop();
    expect([...seen].sort()).toEqual(['again/1', 'again/2', 'again/3', 'once/1', 'term/1']);
  });

  it('keeps to the limit of deliveries at once', async () => {
    let under = 0;
    let most = 0;
    const done = new Collector<number>();
    const consumption = await c.a.consume(
      c.run.workflow,
      async (delivery) => {
        most = Math.max(most, ++under);
        await new Promise((resolve) => setImmediate(resolve));
        under--;
        delivery.ack();
        done.add(delivery.seq);
      },
      { maxInFlight: 3 },
    );
    for (let i = 0; i < 30; i++) await c.a.send(c.run, signal(`s${i}`), { msgId: `s${i}` });
    await done.until('thirty', (items) => items.length === 30);
    await consumption.stop();
    expect(most).toBeLessThanOrEqual(3);
  });
}

function consumersContract(c: Context): void {
  it('shares the inputs among consumers, each handled by one of them', async () => {
    const seen = new Collector<string>();
    const consume = (journal: Journal, who: string) =>
      journal.consume(c.run.workflow, async (delivery) => {
        delivery.ack();
        seen.add(`${who}:${nameOf(delivery.data)}`);
      });
    const consumptions = [await consume(c.a, 'a'), await consume(c.b, 'b')];
    for (let i = 0; i < 20; i++) await c.a.send(c.run, signal(`s${i}`), { msgId: `s${i}` });
    await seen.until('twenty', (items) => items.length === 20);
    await Promise.all(consumptions.map((consumption) => consumption.stop()));
    expect(new Set(seen.items.map((item) => item.split(':')[1])).size).toBe(20);
  });

  it('stop waits for the handler under way, and gives nothing more', async () => {
    const begun = new Collector<number>();
    let release: () => void = () => undefined;
    let ended = 0;
    const consumption = await c.a.consume(
      c.run.workflow,
      async (delivery) => {
        begun.add(delivery.seq);
        await new Promise<void>((resolve) => (release = resolve));
        delivery.ack();
        ended++;
      },
      { maxInFlight: 1 },
    );
    await c.a.send(c.run, signal('one'), { msgId: 'one' });
    await begun.until('the first', (items) => items.length === 1);
    await c.a.send(c.run, signal('two'), { msgId: 'two' });
    const stopping = consumption.stop();
    release();
    await stopping;
    expect({ begun: begun.items.length, ended }).toEqual({ begun: 1, ended: 1 });
  });

  it('a lone consumer from the beginning knows that nothing went elsewhere; two consumers do not', async () => {
    const alone = new Collector<InputDelivery>();
    const first = await c.a.consume(c.run.workflow, async (delivery) => {
      delivery.ack();
      alone.add(delivery);
    });
    for (let i = 0; i < 5; i++) await c.a.send(c.run, signal(`s${i}`), { msgId: `s${i}` });
    await alone.until('five', (items) => items.length === 5);
    expect(alone.items.map(({ ownSince }) => ownSince)).toEqual([0, 0, 0, 0, 0]);
    expect(alone.items.slice(1).every(({ contiguous }) => contiguous)).toBe(true);
    await first.stop();

    const late = new Collector<InputDelivery>();
    const second = await c.b.consume(c.run.workflow, async (delivery) => {
      delivery.ack();
      late.add(delivery);
    });
    const { seq } = await c.a.send(c.run, signal('late'), { msgId: 'late' });
    await late.until('one', (items) => items.length === 1);
    await second.stop();
    expect(late.items[0]).toMatchObject({ contiguous: false, ownSince: seq - 1 });
  });
}
