/** Q6 and Q7: what a trigger gathers. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LimitMessage } from '../../../src/engine/index.ts';
import { decideLimit, foldLimit, isIdle, reactLimit } from '../../../src/limits/index.ts';
import { BEGIN, Key, timer } from '../../kit/limits.ts';

type How = Pick<Extract<LimitMessage, { kind: 'collect' }>, 'debounce' | 'batch'>;

const collect = (n: number, how: How, payload: unknown = n): LimitMessage =>
  ({
    v: 1,
    kind: 'collect',
    key: '',
    workflow: 'w',
    id: `S:${n}`,
    runId: `r${n}`,
    start: { v: 1, kind: 'start', digest: `d${n}`, payload, source: { sequence: n } },
    ...how,
  }) as LimitMessage;

const started = (key: Key) =>
  key.log.flatMap(({ transitions }) => transitions.flatMap((t) => (t.type === 'Flushed' ? [t] : [])));
const types = (transitions: readonly { readonly type: string }[]): readonly string[] =>
  transitions.map(({ type }) => type);

describe('debounce', () => {
  const how: How = { debounce: { waitMs: 1_000, maxMs: 2_500 } };

  test('the last message starts the run when it has been quiet for long enough', () => {
    const key = new Key();
    expect(types(key.take(collect(1, how)))).toEqual(['Collected', 'TimerSet']);
    expect(types(key.take(collect(2, how), 900))).toEqual(['Collected']); // the timer is not moved, it is set again when it fires
    expect(types(key.take(timer(), 100))).toEqual(['TimerFired', 'TimerSet']);
    expect(types(key.take(timer(), 900))).toEqual(['TimerFired', 'Flushed']);
    expect(started(key).map(({ runId, count, start }) => [runId, count, start.payload])).toEqual([['r2', 1, 2]]);
  });

  test('messages that keep coming put it off no longer than max', () => {
    const key = new Key();
    for (let n = 1; n <= 4; n++) key.take(collect(n, how), 800);
    expect(types(key.take(timer(), 100))).toEqual(['TimerFired', 'Flushed']);
    expect(key.now - (BEGIN + 800)).toBe(2_500);
  });

  test('the next message begins anew', () => {
    const key = new Key();
    key.take(collect(1, how));
    key.take(timer(), 1_000);
    key.take(collect(2, how), 5_000);
    key.take(timer(), 1_000);
    expect(started(key).map(({ runId }) => runId)).toEqual(['r1', 'r2']);
  });
});

describe('batch', () => {
  const how: How = { batch: { size: 3, waitMs: 1_000 } };

  test('a full one starts its run at once, named by its first message, of the latest definition, without a source', () => {
    const key = new Key();
    key.take(collect(1, how));
    key.take(collect(2, how));
    const transitions = key.take(collect(3, how));
    expect(reactLimit(key.state.limit, '', transitions)).toEqual([
      {
        kind: 'tell',
        holder: { workflow: 'w', runId: 'r1' },
        msgId: 'start:r1',
        body: { v: 1, kind: 'start', digest: 'd3', payload: [1, 2, 3] },
      },
    ]);
  });

  test('one that is not full starts when its first message has waited', () => {
    const key = new Key();
    key.take(collect(1, how));
    key.take(collect(2, how), 900);
    key.take(timer(), 100);
    expect(started(key).map(({ start }) => start.payload)).toEqual([[1, 2]]);
  });

  test('the timer of a batch that became full does not cut the next one short', () => {
    const key = new Key();
    for (let n = 1; n <= 4; n++) key.take(collect(n, how), 200);
    expect(types(key.take(timer(), 400))).toEqual(['TimerFired', 'TimerSet']);
    key.take(timer(), 600);
    expect(started(key).map(({ start }) => start.payload)).toEqual([[1, 2, 3], [4]]);
  });

  test('what would be too large together is started apart', () => {
    const key = new Key();
    const large = 'x'.repeat(90_000);
    for (let n = 1; n <= 3; n++) key.take(collect(n, { batch: { size: 100, waitMs: 1_000 } }, large));
    expect(started(key).map(({ count }) => count)).toEqual([2]);
  });

  test('a message that comes again is known, started or not', () => {
    const key = new Key();
    for (let n = 1; n <= 3; n++) key.take(collect(n, how));
    key.take(collect(4, how));
    expect([key.take(collect(2, how)), key.take(collect(4, how))]).toEqual([[], []]);
  });

  test('a key is not idle while something is gathered', () => {
    const key = new Key();
    key.take(collect(1, how));
    expect(isIdle(key.state, key.now + 1e9)).toBe(false);
    key.take(timer(), 1_000);
    expect(isIdle(key.state, key.now)).toBe(true);
  });
});

test('Q6 and Q7 by chance: each message is in one batch, in order, and a timer is set while something is gathered', () => {
  const moves = fc.array(
    fc.record({ n: fc.integer({ min: 1, max: 40 }), afterMs: fc.constantFrom(0, 10, 400, 1_500), fire: fc.boolean() }),
    { minLength: 5, maxLength: 80 },
  );
  fc.assert(
    fc.property(moves, fc.integer({ min: 2, max: 5 }), (list, size) => {
      const how: How = { batch: { size, waitMs: 1_000 } };
      const key = new Key();
      const sent: number[] = [];
      for (const { n, afterMs, fire } of list) {
        if (!fire && !sent.includes(n)) sent.push(n);
        key.take(fire ? timer() : collect(n, how), afterMs);
        const { gathered, timerAt } = key.state;
        if (gathered !== undefined && gathered.items.length > 0)
          expect(timerAt).toBeLessThanOrEqual(gathered.firstAt + 1_000);
        expect(gathered?.items.length ?? 0).toBeLessThan(size);
      }
      key.take(timer(), 2_000);
      key.take(timer(), 2_000);
      expect(started(key).flatMap(({ start }) => start.payload as number[])).toEqual(sent);
      expect(foldLimit(key.state.limit, JSON.parse(JSON.stringify(key.log)))).toEqual(key.state);
    }),
    { numRuns: 300 },
  );
});

test('many messages in one entry are gathered as one after another', () => {
  const how: How = { batch: { size: 3, waitMs: 1_000 } };
  const inputs = Array.from({ length: 8 }, (_, n) => ({ seq: n + 1, at: BEGIN, body: collect(n, how) }));
  const { transitions, after } = decideLimit(new Key().state, inputs, BEGIN);
  expect(transitions.filter(({ type }) => type === 'Flushed')).toHaveLength(2);
  expect(after.gathered?.items.map(({ id }) => id)).toEqual(['S:6', 'S:7']);
});
