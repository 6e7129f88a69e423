/** The invariants Q1 to Q5 of src/limits/model/decide.ts over histories made by chance. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LimitPolicy } from '../../src/engine/index.ts';
import {
  type Ask,
  decideLimit,
  foldLimit,
  hasRoom,
  type LimitTransition,
  nameOf,
  rateAllowsAt,
  turnOf,
} from '../../src/limits/index.ts';
import { ask, free, Key, LIMIT, timer } from '../kit/limits.ts';

const RUNS = { numRuns: 400 };
const onFull = fc.constantFrom('queue' as const, 'cancelOldest' as const, 'cancelNewest' as const, 'drop' as const);
const policy: fc.Arbitrary<LimitPolicy> = fc.oneof(
  fc.record({ slots: fc.integer({ min: 1, max: 4 }), onFull }),
  fc.record({ rate: fc.record({ limit: fc.integer({ min: 1, max: 4 }), perMs: fc.constantFrom(10, 1_000) }), onFull }),
  fc.record({
    slots: fc.integer({ min: 1, max: 4 }),
    rate: fc.record({ limit: fc.integer({ min: 1, max: 4 }), perMs: fc.constantFrom(10, 1_000) }),
    onFull,
  }),
);
const message = fc.record({
  kind: fc.constantFrom('ask', 'ask', 'ask', 'free', 'free', 'timer'),
  runId: fc.integer({ min: 0, max: 9 }).map((n) => `r${n}`),
  ask: fc.integer({ min: 0, max: 2 }),
  priority: fc.integer({ min: 1, max: 5 }),
  afterMs: fc.constantFrom(0, 1, 7, 300, 2_000, 70_000),
});

interface Step {
  readonly key: Key;
  readonly before: Key['state'];
  readonly transitions: readonly LimitTransition[];
  readonly body: Parameters<Key['take']>[0];
}

/** Plays a history and lets `look` see each step of it. */
function play(look: (step: Step) => void, policies: fc.Arbitrary<LimitPolicy> = policy) {
  return fc.property(policies, fc.array(message, { minLength: 5, maxLength: 80 }), (allowed, messages) => {
    const key = new Key();
    for (const { kind, runId, afterMs, ...more } of messages) {
      const body = kind === 'ask' ? ask(runId, allowed, more) : kind === 'free' ? free(runId, more.ask) : timer();
      const before = key.state;
      const transitions = key.take(body, afterMs);
      look({ key, before, transitions, body });
    }
  });
}

const granted = (key: Key) =>
  key.log.flatMap(({ transitions }) => transitions).flatMap((t) => (t.type === 'Granted' ? [t] : []));

describe('invariants', () => {
  test('Q1 never more holders than slots, never more grants within a time than the rate says', () => {
    fc.assert(
      play(({ key }) => {
        const { slots = Number.POSITIVE_INFINITY, rate } = key.state.policy;
        expect(key.state.held.length).toBeLessThanOrEqual(slots);
        if (rate === undefined) return;
        const times = granted(key).map(({ at }) => at);
        for (const [n, time] of times.entries()) {
          const after = times[n + rate.limit];
          if (after !== undefined) expect(after - time).toBeGreaterThanOrEqual(rate.perMs);
        }
      }),
      RUNS,
    );
  });

  test('Q2 what is granted waited, once; asking again and freeing again change nothing', () => {
    const waits = fc.record({ slots: fc.integer({ min: 1, max: 4 }), onFull: fc.constant('queue' as const) });
    fc.assert(
      play(({ key, before, transitions, body }) => {
        const asks = new Set(before.waiting.map((one) => `${nameOf(one.holder)} ${one.ask}`));
        for (const t of transitions) {
          if (t.type === 'Asked') asks.add(`${nameOf(t.holder)} ${t.ask}`);
          if (t.type === 'Granted') expect(asks.delete(`${nameOf(t.holder)} ${t.ask}`)).toBe(true);
        }
        const holders = [...key.state.held, ...key.state.waiting].map(({ holder }) => nameOf(holder));
        expect(new Set(holders).size).toBe(holders.length);
        if (body.kind !== 'timer') expect(key.take(body, 0)).toEqual([]);
      }, waits),
      RUNS,
    );
  });

  test('Q3 no lost wake-up: nobody waits, or all slots are held, or a timer is set for the rate', () => {
    fc.assert(
      play(({ key: { state, now } }) => {
        if (state.waiting.length === 0 || !hasRoom(state)) return;
        expect(rateAllowsAt(state)).toBeGreaterThan(now);
        expect(state.timerAt).toBeLessThanOrEqual(rateAllowsAt(state));
      }),
      RUNS,
    );
  });

  test('Q4 who is granted is the first of those that wait, by time asked and priority', () => {
    fc.assert(
      play(({ before, transitions }) => {
        let waiting: Ask[] = [...before.waiting];
        for (const t of transitions) {
          if (t.type === 'Asked') waiting.push(t);
          if (t.type === 'Left' || t.type === 'Refused') {
            waiting = waiting.filter(({ holder }) => nameOf(holder) !== nameOf(t.holder));
          }
          if (t.type !== 'Granted') continue;
          const one = waiting.find(({ holder }) => nameOf(holder) === nameOf(t.holder));
          const others = waiting.filter((other) => other !== one);
          for (const other of others) expect(turnOf(other)).toBeGreaterThanOrEqual(one === undefined ? 0 : turnOf(one));
          waiting = others;
        }
      }),
      RUNS,
    );
  });

  test('Q5 tokens only grow', () => {
    fc.assert(
      play(({ key }) => {
        const tokens = granted(key).map(({ token }) => token);
        for (const [n, token] of tokens.entries()) expect(token).toBeGreaterThan(tokens[n - 1] ?? 0);
      }),
      RUNS,
    );
  });
});

describe('laws', () => {
  test('many messages in one entry mean what they mean one after another', () => {
    const messages = fc.array(message, { maxLength: 30 });
    fc.assert(
      fc.property(policy, messages, (allowed, list) => {
        const now = 1_700_000_000_000;
        const inputs = list.map(({ kind, runId, ...more }, n) => ({
          seq: n + 1,
          at: now,
          body: kind === 'ask' ? ask(runId, allowed, more) : kind === 'free' ? free(runId, more.ask) : timer(),
        }));
        const together = decideLimit(new Key().state, inputs, now).after;
        let alone = new Key().state;
        // `lastEntry` says that the policy is known already, as it is within one entry.
        for (const input of inputs) alone = { ...decideLimit(alone, [input], now).after, lastEntry: 1 };
        expect({ ...alone, lastEntry: 0 }).toEqual(together);
      }),
      RUNS,
    );
  });

  test('a log is read from its last whole state on', () => {
    fc.assert(
      play(({ key }) => {
        const at = Math.floor(key.log.length / 2);
        const log = key.log.map((entry, n) =>
          n === at ? { ...entry, state: foldLimit(LIMIT, key.log.slice(0, n + 1)) } : entry,
        );
        expect(foldLimit(LIMIT, log)).toEqual(key.state);
        expect(foldLimit(LIMIT, JSON.parse(JSON.stringify(log)))).toEqual(key.state);
      }),
      { numRuns: 100 },
    );
  });
});
