import { describe, expect, test } from 'vitest';
import type { LimitPolicy } from '../../../src/engine/index.ts';
import { AGING_MS, decideLimit, isIdle, limitEntryOf, MAX_WAITING, reactLimit } from '../../../src/limits/index.ts';
import { ask, BEGIN, free, Key, LIMIT, run, slots, timer } from '../../kit/limits.ts';

const types = (transitions: readonly { readonly type: string }[]): readonly string[] =>
  transitions.map(({ type }) => type);

describe('slots', () => {
  test('a free slot is granted at once, with the message as the first token', () => {
    const key = new Key();
    expect(key.take(ask('a', slots(1)))).toEqual([
      { type: 'PolicySet', key: '', policy: { slots: 1, onFull: 'queue' } },
      { type: 'Asked', holder: run('a'), ask: 0, seq: 1, since: BEGIN + 1, priority: 3 },
      { type: 'Granted', holder: run('a'), ask: 0, token: 1, at: BEGIN + 1 },
    ]);
  });

  test('who comes when all are held waits, and is granted the one that comes back', () => {
    const key = new Key();
    key.take(ask('a', slots(1)));
    expect(types(key.take(ask('b', slots(1))))).toEqual(['Asked']);
    expect(key.take(free('a'))).toEqual([
      { type: 'Freed', holder: run('a') },
      { type: 'Granted', holder: run('b'), ask: 0, token: 3, at: key.now },
    ]);
  });

  test('asking again and freeing again change nothing', () => {
    const key = new Key();
    key.take(ask('a', slots(1)));
    key.take(ask('b', slots(1)));
    expect([key.take(ask('a', slots(1))), key.take(ask('b', slots(1)))]).toEqual([[], []]);
    key.take(free('b'));
    expect([key.waiting, key.take(free('b')), key.take(free('nobody'))]).toEqual([[], [], []]);
  });

  test('a later ask of a holder takes the place of its earlier one; a late free of the earlier one is none of it', () => {
    const key = new Key();
    key.take(ask('a', slots(1)));
    expect(types(key.take(ask('a', slots(1), { ask: 1 })))).toEqual(['Freed', 'Asked', 'Granted']);
    expect([key.take(free('a', 0)), key.held]).toEqual([[], ['a']]);
    expect(key.take(ask('a', slots(1), { ask: 0 }))).toEqual([]);
  });

  test('more slots let in who waits; fewer take nothing from who holds one', () => {
    const key = new Key();
    for (const name of ['a', 'b', 'c']) key.take(ask(name, slots(1)));
    key.take(ask('d', slots(3)));
    expect([key.held, key.waiting]).toEqual([['a', 'b', 'c'], ['d']]);
    key.take(ask('e', slots(1)));
    key.take(free('a'));
    key.take(free('b'));
    expect([key.held, key.waiting]).toEqual([['c'], ['d', 'e']]);
  });

  test(`the ask after ${MAX_WAITING} that wait is refused, with the number`, () => {
    const key = new Key();
    const inputs = Array.from({ length: MAX_WAITING + 2 }, (_, n) => ({
      seq: n + 1,
      at: BEGIN,
      body: ask(`r${n}`, slots(1)),
    }));
    const { transitions } = decideLimit(key.state, inputs, BEGIN);
    const reason = `${MAX_WAITING} others wait for ${LIMIT} already`;
    expect(transitions.filter(({ type }) => type === 'Refused')).toEqual([
      { type: 'Refused', holder: run(`r${MAX_WAITING + 1}`), ask: 0, reason },
    ]);
  });
});

describe('what a full limit does', () => {
  test('cancelOldest: the oldest is told to end, and the newest has its slot once it has', () => {
    const key = new Key();
    const policy = slots(2, 'cancelOldest');
    key.take(ask('a', policy));
    key.take(ask('b', policy));
    const told = key.take(ask('c', policy));
    expect(told[1]).toEqual({
      type: 'Revoked',
      holder: run('a'),
      ask: 0,
      reason: `a newer run takes its slot of ${LIMIT}`,
    });
    expect([key.held, key.waiting]).toEqual([['a', 'b'], ['c']]);
    key.take(free('a'));
    expect([key.held, key.waiting]).toEqual([['b', 'c'], []]);
  });

  test('cancelOldest: one that still waits is older than the newest, and goes', () => {
    const key = new Key();
    const policy = slots(1, 'cancelOldest');
    key.take(ask('a', policy));
    key.take(ask('b', policy));
    expect(types(key.take(ask('c', policy)))).toEqual(['Asked', 'Refused']);
    expect([key.held, key.waiting]).toEqual([['a'], ['c']]);
  });

  test.each([
    ['cancelNewest', `${LIMIT} (k) is full`],
    ['drop', `dropped: ${LIMIT} (k) is full`],
  ] as const)('%s: the newest is refused', (onFull, reason) => {
    const key = new Key();
    key.take(ask('a', slots(1, onFull), { key: 'k' }));
    expect(key.take(ask('b', slots(1, onFull), { key: 'k' }))[1]).toEqual({
      type: 'Refused',
      holder: run('b'),
      ask: 0,
      reason,
    });
    expect([key.held, key.waiting]).toEqual([['a'], []]);
  });
});

describe('rate', () => {
  const rate = (onFull: LimitPolicy['onFull'] = 'queue'): LimitPolicy => ({
    rate: { limit: 2, perMs: 1_000 },
    onFull,
  });

  test('what is too much waits for a timer, and nothing is held', () => {
    const key = new Key();
    key.take(ask('a', rate()));
    key.take(ask('b', rate()));
    expect(key.take(ask('c', rate()))[1]).toEqual({ type: 'TimerSet', at: BEGIN + 1 + 1_000 });
    expect([key.held, key.waiting]).toEqual([[], ['c']]);
    expect(types(key.take(timer(), 998))).toEqual(['TimerFired', 'Granted']);
    expect(key.state.timerAt).toBeUndefined();
  });

  test('a timer that fires early, or twice, grants nothing and is set again', () => {
    const key = new Key();
    for (const name of ['a', 'b', 'c']) key.take(ask(name, rate()));
    expect(key.take(timer(), 10)).toEqual([{ type: 'TimerFired' }, { type: 'TimerSet', at: BEGIN + 1_001 }]);
    key.take(timer(), 2_000);
    expect(key.take(timer())).toEqual([]);
  });

  test('a backlog that is handled late is not granted as if it had been handled at once', () => {
    const key = new Key();
    const inputs = Array.from({ length: 4 }, (_, n) => ({
      seq: n + 1,
      at: BEGIN + n * 10_000,
      body: ask(`r${n}`, rate()),
    }));
    const { after } = decideLimit(key.state, inputs, BEGIN + 60_000);
    expect([after.grants, after.waiting.length]).toEqual([[BEGIN + 60_000, BEGIN + 60_000], 2]);
  });

  test('drop: what is too much is refused, and no timer is set for it to no end', () => {
    const key = new Key();
    for (const name of ['a', 'b']) key.take(ask(name, rate('drop')));
    expect(types(key.take(ask('c', rate('drop'))))).toContain('Refused');
    expect(key.waiting).toEqual([]);
  });

  test('a key is idle only when the rate has forgotten', () => {
    const key = new Key();
    key.take(ask('a', rate()));
    expect([isIdle(key.state, key.now + 999), isIdle(key.state, key.now + 1_000)]).toEqual([false, true]);
  });
});

describe('priority', () => {
  test('the more important of those that ask about the same time comes first', () => {
    const key = new Key();
    key.take(ask('holder', slots(1)));
    key.take(ask('late', slots(1), { priority: 5 }));
    key.take(ask('usual', slots(1)));
    key.take(ask('urgent', slots(1), { priority: 1 }));
    expect(key.waiting).toEqual(['urgent', 'usual', 'late']);
  });

  test('who has waited for the levels between them is not overtaken any more', () => {
    const key = new Key();
    key.take(ask('holder', slots(1)));
    key.take(ask('patient', slots(1), { priority: 5 }));
    key.take(ask('just in time', slots(1), { priority: 1 }), 4 * AGING_MS - 1);
    key.take(ask('too late', slots(1), { priority: 1 }), 1);
    expect(key.waiting).toEqual(['just in time', 'patient', 'too late']);
  });
});

describe('what follows', () => {
  test('verdicts go to whom they concern under an id of their own, and only the last timer is set', () => {
    const holder = run('a', 'train');
    const commands = reactLimit('queue:gpu', '', [
      { type: 'TimerSet', at: 5 },
      { type: 'Granted', holder, ask: 2, token: 9, at: 1 },
      { type: 'TimerSet', at: 7 },
    ]);
    const slot = { limit: 'queue:gpu', key: '', token: 9 };
    expect(commands).toEqual([
      {
        kind: 'tell',
        holder,
        msgId: 'slot:queue:gpu:_:orders/a/train:2:granted:9',
        body: { v: 1, kind: 'slot', slot, verdict: 'granted', ask: 2, step: 'train' },
      },
      { kind: 'timer', at: 7 },
    ]);
  });

  test('a timer that has fired already is not set again', () => {
    expect(reactLimit(LIMIT, '', [{ type: 'TimerSet', at: 5 }, { type: 'TimerFired' }])).toEqual([]);
  });

  test('a log that somebody else wrote is an error that says so', () => {
    for (const text of ['no json', '{"v":2}', '{"v":1,"cause":1,"at":1,"transitions":[1]}']) {
      expect(() => limitEntryOf(text, 7, 'limit.log.x._')).toThrow(/entry 7 of limit.log.x._/);
    }
  });
});
