import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CommitLane } from '../../../src/drivers/committer.ts';
import { GroupTuner } from '../../../src/drivers/group-tuner.ts';
import type { PublishOutcome } from '../../../src/drivers/index.ts';
import type { GroupCommit } from '../../../src/kernel/index.ts';
import { FakeStream } from '../../kit/fake-stream.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const fence = (seq: number) => ({ 'Nats-Expected-Last-Subject-Sequence': String(seq) });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setup(mode: GroupCommit, atLeast = 2) {
  const stream = new FakeStream();
  const time = { now: 0 };
  let ids = 0;
  const lane = new CommitLane({
    publisher: stream,
    mode,
    atLeast,
    batchId: () => `b${ids++}`,
    now: () => time.now,
    soon: (callback) => void setImmediate(callback),
  });
  /** Lets the server handle everything there is, and what comes of it. */
  const settle = async (): Promise<void> => {
    for (let quiet = 0; quiet < 3; ) {
      await turn();
      quiet = stream.step() ? 0 : quiet + 1;
      while (stream.step());
    }
  };
  /** 400 of whom each sends 30 messages one after another, to a server that takes 40 a turn and 0.02 ms for one. */
  const load = async (): Promise<void> => {
    let open = 400;
    const runs = Array.from({ length: open }, async (_, i) => {
      for (let n = 0; n < 30; n++) await lane.publish(`s.${i}`, bytes('x'), {});
      open--;
    });
    while (open > 0) {
      await turn();
      for (let i = 0; i < 40 && stream.step(); i++) time.now += 0.02;
    }
    await Promise.all(runs);
  };
  return { stream, lane, time, settle, load };
}

const brief = (outcome: PublishOutcome): string =>
  outcome.kind === 'stored' ? `stored ${outcome.seq}${outcome.duplicate ? ' again' : ''}` : outcome.kind;

describe('committer', () => {
  it('G4 sends a lone message alone and at once, in every mode', async () => {
    for (const mode of ['auto', 'always', 'never'] as const) {
      const { stream, lane, settle } = setup(mode);
      const outcome = lane.publish('s.a', bytes('a'), fence(0));
      expect(stream.wire).toEqual(['alone']);
      await settle();
      expect(await outcome).toEqual({ kind: 'stored', stream: 'S', seq: 1, duplicate: false });
    }
  });

  it('G4 sends fewer than are worth a batch alone', async () => {
    const { stream, lane, settle } = setup('always', 16);
    const all = Array.from({ length: 15 }, (_, i) => lane.publish(`s.${i}`, bytes('x'), fence(0)));
    await settle();
    expect((await Promise.all(all)).map(brief)).toEqual(Array.from({ length: 15 }, (_, i) => `stored ${i + 1}`));
    expect(new Set(stream.wire)).toEqual(new Set(['alone']));
  });

  it.each([
    [255, 1],
    [256, 2],
  ])('beside a batch under way %i that wait make %i batches at once', async (waiting, batches) => {
    const { stream, lane, settle } = setup('always');
    const first = Array.from({ length: 3 }, (_, i) => lane.publish(`s.a${i}`, bytes('x'), fence(0)));
    await turn(); // the first of them alone, the others in a batch that the server has not handled
    const more = Array.from({ length: waiting }, (_, i) => lane.publish(`s.b${i}`, bytes('x'), fence(0)));
    for (let i = 0; i < 5; i++) await turn();
    expect(new Set(stream.wire).size - 1).toBe(batches);
    await settle();
    expect(new Set(stream.wire).size - 1).toBe(2);
    expect((await Promise.all([...first, ...more])).map(({ kind }) => kind)).not.toContain('unknown');
    expect(stream.stored).toHaveLength(3 + waiting);
  });

  it('G5 puts what waits into one batch; every member learns its own sequence', async () => {
    const { stream, lane, settle } = setup('always');
    const all = ['a', 'b', 'c', 'd'].map((name) => lane.publish(`s.${name}`, bytes(name), fence(0)));
    await settle();
    expect((await Promise.all(all)).map(brief)).toEqual(['stored 1', 'stored 2', 'stored 3', 'stored 4']);
    expect(stream.stored.map(({ text, batch }) => [text, batch])).toEqual([
      ['a', undefined],
      ['b', 'b0'],
      ['c', 'b0'],
      ['d', 'b0'],
    ]);
  });

  it('never puts anything into a batch in mode never', async () => {
    const { stream, lane, settle } = setup('never');
    const all = Array.from({ length: 200 }, (_, i) => lane.publish(`s.${i}`, bytes('x'), {}));
    await settle();
    await Promise.all(all);
    expect(new Set(stream.wire)).toEqual(new Set(['alone']));
  });

  it('G1 takes a refused batch apart: the stale one is refused, a known id is a duplicate, the innocent are stored', async () => {
    const { stream, lane, settle } = setup('always', 4);
    await Promise.all([lane.publish('s.known', bytes('k'), { 'Nats-Msg-Id': 'id' }), settle()]);
    const all = Array.from({ length: 40 }, (_, i) =>
      i === 7
        ? lane.publish('s.known', bytes('k'), { 'Nats-Msg-Id': 'id' })
        : lane.publish(`s.${i}`, bytes('x'), fence(i === 23 ? 9 : 0)),
    );
    await settle();
    const outcomes = await Promise.all(all);
    expect(outcomes[7]).toMatchObject({ kind: 'stored', seq: 1, duplicate: true });
    expect(outcomes[23]).toMatchObject({ kind: 'refused', code: 10071 });
    const seqs = outcomes.flatMap((one, i) => (one.kind === 'stored' && i !== 7 ? [one.seq] : []));
    expect([...new Set(seqs)].sort((a, b) => a - b)).toEqual(Array.from({ length: 38 }, (_, i) => i + 2));
    // Not one by one: those whose half was right still shared a batch.
    expect(stream.stored.filter(({ batch }) => batch !== undefined).length).toBeGreaterThan(20);
  });

  it('G1 sends all alone where the stream takes no batches', async () => {
    const { stream, lane, settle } = setup('always');
    stream.batches = false;
    const all = Array.from({ length: 20 }, (_, i) => lane.publish(`s.${i}`, bytes('x'), fence(0)));
    await settle();
    expect((await Promise.all(all)).every(({ kind }) => kind === 'stored')).toBe(true);
    expect(stream.stored).toHaveLength(20);
  });

  it('G2 a lost acknowledgement is unknown for each member, and what waits goes alone', async () => {
    const { stream, lane, settle } = setup('always');
    const first = Array.from({ length: 5 }, (_, i) => lane.publish(`s.${i}`, bytes('x'), fence(0)));
    await turn();
    stream.lose();
    expect((await Promise.all(first)).map(({ kind }) => kind)).toEqual(Array(5).fill('unknown'));
    const next = lane.publish('s.0', bytes('y'), fence(0));
    await settle();
    expect(brief(await next)).toBe('stored 1');
  });

  it('G3 a second message of one subject waits, goes alone and gets its own answer', async () => {
    const { stream, lane, settle } = setup('always');
    const all = ['a', 'b', 'a', 'b', 'a'].map((name, i) => lane.publish(`s.${name}`, bytes(`${name}${i}`), fence(0)));
    await settle();
    expect((await Promise.all(all)).map(({ kind }) => kind)).toEqual([
      'stored',
      'stored',
      'refused',
      'refused',
      'refused',
    ]);
    expect(stream.stored.map(({ text }) => text)).toEqual(['a0', 'b1']);
  });

  it('rejects only the one that cannot be sent', async () => {
    const { stream, lane, settle } = setup('always');
    stream.unsendable = 'x3';
    const all = Array.from({ length: 6 }, (_, i) =>
      lane.publish(`s.${i}`, bytes(`x${i}`), fence(0)).then(brief, () => 'rejected'),
    );
    await expect(lane.publish('s.h', bytes('x'), { A: 'a\nb' })).rejects.toThrow(/cannot be sent/);
    // The server forgets what was staged of the batch that ended in the middle.
    stream.lose();
    await settle();
    expect((await Promise.all(all))[3]).toBe('rejected');
  });

  it.each([
    ['keeps batches where each fsync takes a millisecond', 1, true],
    ['and does not where it takes nothing', 0, false],
  ])('auto finds out with hundreds on their way: %s', async (_, syncMs, batched) => {
    const { stream, time, load } = setup('auto', 16);
    stream.onSync = () => {
      time.now += syncMs;
    };
    await load();
    const late = stream.stored.slice(-4_000).filter(({ batch }) => batch !== undefined).length;
    expect(late > 2_000).toBe(batched);
  });

  it.each([
    ['with few of those that wait, where batches were faster', 1, 64],
    ['with all, where they were not (negative twin)', 0, 400],
  ])('T2 looks again %s', async (_, syncMs, expected) => {
    const { stream, time, load } = setup('auto', 16);
    stream.onSync = () => {
      time.now += syncMs;
    };
    let alone = 0;
    let most = 0;
    const send = stream.send.bind(stream);
    stream.send = (subject, data, lines, settle) => {
      if (lines.includes('Nats-Batch-Id')) return send(subject, data, lines, settle);
      most = Math.max(most, ++alone);
      send(subject, data, lines, (outcome) => {
        alone--;
        settle(outcome);
      });
    };
    await load();
    most = 0;
    time.now += 100_000;
    await load();
    expect(most).toBe(expected);
    expect(stream.stored).toHaveLength(2 * 400 * 30);
  });

  it('gives every message the outcome it would have had alone, stored once (property)', async () => {
    const message = fc.record({
      subject: fc.constantFrom('s.a', 's.b', 's.c', 's.d', 's.e', 's.f', 's.g', 's.h'),
      kind: fc.constantFrom('fresh', 'fresh', 'fresh', 'stale', 'id', 'plain'),
      id: fc.nat({ max: 6 }),
      pause: fc.nat({ max: 6 }),
    });
    const headersOf = ({ kind, id }: { kind: string; id: number }): Record<string, string> => {
      if (kind === 'plain') return {};
      if (kind === 'id') return { 'Nats-Msg-Id': `i${id}` };
      return fence(kind === 'fresh' ? 0 : 99_999);
    };
    const run = async (
      mode: GroupCommit,
      messages: readonly { subject: string; kind: string; id: number; pause: number }[],
    ) => {
      const { stream, lane, settle } = setup(mode, 3);
      const all: Promise<PublishOutcome>[] = [];
      for (const [i, one] of messages.entries()) {
        const side = one.kind === 'fresh' || one.kind === 'stale' ? 'log' : 'in';
        all.push(lane.publish(`${one.subject}.${side}`, bytes(`m${i}`), headersOf(one)));
        if (one.pause === 0) await turn();
        if (one.pause === 1) stream.step();
      }
      await settle();
      const outcomes = await Promise.all(all);
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome.kind === 'stored' && !outcome.duplicate) expect(stream.stored[outcome.seq - 1]?.text).toBe(`m${i}`);
      }
      const kinds = outcomes.map((one) => (one.kind === 'stored' ? `stored ${one.duplicate}` : one.kind));
      return { kinds, texts: stream.stored.map(({ text }) => text).sort() };
    };
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 60 }), async (messages) => {
        expect(await run('always', messages)).toEqual(await run('never', messages));
      }),
      { numRuns: 60 },
    );
  });
});

describe('group tuner', () => {
  /** Feeds it with a server of these rates (messages per ms) until it decides. */
  const compare = (tuner: GroupTuner, rates: { alone: number; group: number }, from: number): number => {
    let now = from;
    tuner.look(now);
    while (tuner.wantsAlone || tuner.way === 'group') {
      const way = tuner.way;
      now += 10;
      tuner.measured(way, rates[way] * 10, 10, now);
      if (now - from > 1_000) break;
    }
    return now;
  };

  it('T1 keeps batches where they are clearly faster, and not where they are a little faster or slower', () => {
    const wayWith = (alone: number, group: number) => {
      const tuner = new GroupTuner();
      compare(tuner, { alone, group }, 0);
      return tuner.way;
    };
    expect(wayWith(20, 50)).toBe('group');
    expect(wayWith(20, 30.4)).toBe('group');
    expect(wayWith(20, 29.6)).toBe('alone');
    expect(wayWith(5.6, 5.6)).toBe('alone');
    expect(wayWith(5.4, 5.4)).toBe('group');
    expect(wayWith(97, 59)).toBe('alone');
  });

  it('T1 one good round is not enough', () => {
    const tuner = new GroupTuner();
    tuner.look(0);
    tuner.measured('alone', 500, 50, 50);
    tuner.measured('group', 5_000, 50, 100);
    expect(tuner.wantsAlone).toBe(true);
    tuner.measured('alone', 5_000, 50, 150);
    tuner.measured('group', 500, 50, 200);
    expect(tuner.way).toBe('alone');
    expect(tuner.wantsAlone).toBe(false);
  });

  it('T2 looks again after a while, ever later, and at once after a reconnect', () => {
    const tuner = new GroupTuner();
    const slow = { alone: 97, group: 59 };
    const decided = compare(tuner, slow, 0);
    const asks = (now: number): boolean => {
      tuner.look(now);
      return tuner.wantsAlone;
    };
    const first = [1_000, 9_000, 11_000].map((ms) => asks(decided + ms));
    expect(first).toEqual([false, false, true]);
    const again = compare(tuner, slow, decided + 20_000);
    expect(asks(again + 15_000)).toBe(false);
    tuner.reset();
    expect(asks(again + 15_001)).toBe(true);
    compare(tuner, { alone: 5, group: 50 }, again + 15_001);
    expect(tuner.way).toBe('group');
  });

  it('a refused batch counts as time in which nothing was stored', () => {
    const tuner = new GroupTuner();
    tuner.look(0);
    tuner.measured('alone', 500, 50, 50);
    tuner.measured('group', 1_000, 10, 60);
    tuner.measured('group', 0, 90, 150);
    expect(tuner.way).toBe('alone');
  });

  it('a comparison that was interrupted begins anew', () => {
    const tuner = new GroupTuner();
    tuner.look(0);
    tuner.measured('alone', 500, 50, 50);
    expect(tuner.wantsAlone).toBe(false);
    tuner.look(1_000);
    expect(tuner.wantsAlone).toBe(false);
    tuner.look(3_000);
    expect(tuner.wantsAlone).toBe(true);
  });
});
