/** What a schedule decides: overlap, catch-up, pause, change, triggers, backfills, replaced keys. */
import { describe, expect, test } from 'vitest';
import type { OverlapPolicy } from '../../../src/engine/index.ts';
import { runIdOfTime } from '../../../src/kernel/index.ts';
import { everyMinute, LineSpec, MINUTE, started, T0, typesOf } from '../../kit/schedule-spec.ts';

const idAt = (minute: number): string => runIdOfTime('w', 'tick', T0 + minute * MINUTE);
const done = (...minutes: number[]) => Object.fromEntries(minutes.map((m) => [idAt(m), 'completed' as const]));

function running(overlap: OverlapPolicy): LineSpec {
  const line = new LineSpec();
  line.set(T0 + 1, everyMinute({ overlap }));
  expect(started(line.fire())).toEqual([1]);
  return line;
}

test('it begins with the next time, and sets its timer anew each time (S1, S4)', () => {
  const line = new LineSpec();
  expect(typesOf(line.set(T0 + 1, everyMinute()))).toEqual(['LineSet', 'NextSet']);
  expect(line.state.next).toEqual({ time: T0 + MINUTE, due: T0 + MINUTE });
  const first = line.fire();
  expect(first[0]).toMatchObject({ type: 'RunFired', start: { runId: idAt(1), payload: null, why: 'time' } });
  expect(line.state.next?.due).toBe(T0 + 2 * MINUTE);
  expect(started(line.fire(done(1)))).toEqual([2]);
  // The same timer once more, and a look, change nothing (S3).
  expect(line.give(T0 + 2 * MINUTE + 5, { v: 1, kind: 'due', due: T0 + 2 * MINUTE })).toEqual([]);
  expect(line.give(T0 + 2 * MINUTE + 6, { v: 1, kind: 'look' })).toEqual([]);
});

describe('overlap', () => {
  test('skip lets the time go by', () => {
    const line = running('skip');
    expect(line.fire()[0]).toMatchObject({ type: 'RunSkipped', runId: idAt(2), reason: `run ${idAt(1)} is open` });
    expect(started(line.fire(done(1)))).toEqual([3]);
  });

  test('bufferOne keeps one, and starts it when the run has ended (S2)', () => {
    const line = running('bufferOne');
    expect(typesOf(line.fire())).toContain('RunBuffered');
    expect(typesOf(line.fire())).toContain('RunSkipped');
    expect(line.open).toEqual([idAt(1)]);
    expect(started(line.give(T0 + 3 * MINUTE + 1, { v: 1, kind: 'look' }, done(1)))).toEqual([2]);
    expect(line.open).toEqual([idAt(2)]);
  });

  test('bufferAll keeps all, in order', () => {
    const line = running('bufferAll');
    for (const _ of [2, 3, 4]) line.fire();
    const look = (minute: number) => started(line.give(T0 + 4 * MINUTE + minute, { v: 1, kind: 'look' }, done(minute)));
    expect([look(1), look(2), look(3), look(4)]).toEqual([[2], [3], [4], []]);
  });

  test('cancelRunning and terminateRunning ask the open run to end, and the last one to come starts', () => {
    for (const [overlap, kill] of [
      ['cancelRunning', false],
      ['terminateRunning', true],
    ] as const) {
      const line = running(overlap);
      expect(line.fire()).toContainEqual(expect.objectContaining({ type: 'StopAsked', runId: idAt(1), kill }));
      const third = line.fire();
      expect(typesOf(third)).toContain('RunSkipped'); // the second, which waited
      expect(typesOf(third)).not.toContain('StopAsked'); // it was asked once
      expect(started(line.give(T0 + 3 * MINUTE + 1, { v: 1, kind: 'look' }, { [idAt(1)]: 'cancelled' }))).toEqual([3]);
    }
  });

  test('allow starts at once and watches nothing', () => {
    const line = running('allow');
    expect(started(line.fire())).toEqual([2]);
    expect(line.open).toEqual([]);
  });
});

describe('after downtime', () => {
  const late = (policy: 'all' | 'latest' | 'none', windowMs = 60 * MINUTE) => {
    const line = new LineSpec();
    line.set(T0 + 1, everyMinute({ overlap: 'allow', catchUp: { policy, windowMs } }));
    const transitions = line.fire({}, 9 * MINUTE + 30_000); // at 10:30
    expect(line.state.next?.due).toBe(T0 + 11 * MINUTE);
    return { starts: started(transitions), missed: transitions.filter(({ type }) => type === 'TimesMissed') };
  };

  test('all starts each, latest the last, none nothing', () => {
    expect(late('all').starts).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(late('latest')).toMatchObject({ starts: [10], missed: [{ from: T0 + MINUTE, to: T0 + 10 * MINUTE - 1 }] });
    expect(late('none').starts).toEqual([]);
  });

  test('what is older than the window is missed', () => {
    expect(late('all', 3 * MINUTE).starts).toEqual([8, 9, 10]);
    expect(late('latest', 15_000).starts).toEqual([]);
  });

  test('a time that is only a little late is not missed, whatever the policy', () => {
    const line = new LineSpec();
    line.set(T0 + 1, everyMinute({ catchUp: { policy: 'none', windowMs: 0 } }));
    expect(started(line.fire({}, 9_000))).toEqual([1]);
  });

  test('a long backlog is worked off in several entries, none twice', () => {
    const line = new LineSpec();
    line.set(T0 + 1, everyMinute({ overlap: 'allow', catchUp: { policy: 'all', windowMs: 24 * 60 * MINUTE } }));
    const all: number[] = [...started(line.fire({}, 180 * MINUTE))];
    expect(all.length).toBeLessThan(100);
    while ((line.state.next?.due ?? 0) <= T0 + 181 * MINUTE) all.push(...started(line.fire()));
    expect(all).toEqual(Array.from({ length: 181 }, (_, n) => n + 1));
  });
});

test('paused nothing starts, and resuming does not catch up (S5)', () => {
  const line = running('allow');
  expect(typesOf(line.give(T0 + MINUTE + 5, { v: 1, kind: 'pause', by: 'ada' }))).toEqual([
    'LinePaused',
    'NextCleared',
  ]);
  expect(line.give(T0 + 5 * MINUTE, { v: 1, kind: 'due', due: T0 + 2 * MINUTE })).toEqual([]);
  line.give(T0 + 5 * MINUTE + 1, { v: 1, kind: 'resume' });
  expect(line.state.next?.due).toBe(T0 + 6 * MINUTE);
  line.set(T0 + 5 * MINUTE + 2, everyMinute({ paused: true }));
  expect(line.state.next).toBeUndefined();
});

test('a changed description counts from now on; a removed one drops what waits and leaves open runs alone', () => {
  const line = running('bufferAll');
  line.fire();
  line.set(T0 + 2 * MINUTE + 30_000, everyMinute({ overlap: 'bufferAll', everyMs: 2 * MINUTE }));
  expect(line.state.next?.due).toBe(T0 + 4 * MINUTE);
  expect(line.set(T0 + 2 * MINUTE + 30_001, everyMinute({ overlap: 'bufferAll', everyMs: 2 * MINUTE }))).toEqual([]);
  expect(typesOf(line.give(T0 + 3 * MINUTE, { v: 1, kind: 'remove' }))).toEqual(['LineRemoved']);
  expect([line.state.waiting, line.state.next, line.open]).toEqual([[], undefined, [idAt(1)]]);
});

test('the payload follows from the time; one that cannot be had is a skip that says why', () => {
  const line = new LineSpec();
  line.set(T0 + 1, everyMinute({ overlap: 'allow', with: { day: 'scheduledAt.substring(0, 10)', of: 'schedule' } }));
  expect(line.fire()[0]).toMatchObject({ start: { payload: { day: '2026-01-01', of: 'tick' } } });
  line.set(T0 + MINUTE + 1, everyMinute({ with: { n: 'scheduledAt + 1' } }));
  expect(line.fire()[0]).toMatchObject({ type: 'RunSkipped', reason: expect.stringContaining('scheduledAt + 1') });
});

test('a trigger counts once, by the policy or another one', () => {
  const line = running('skip');
  const trigger = { v: 1, kind: 'trigger', id: 'x', by: 'ada' } as const;
  expect(typesOf(line.give(T0 + MINUTE + 5, { ...trigger, overlap: 'allow' }))).toEqual(['IdSeen', 'RunFired']);
  expect(line.give(T0 + MINUTE + 6, trigger)).toEqual([]);
  expect(typesOf(line.give(T0 + MINUTE + 7, { ...trigger, id: 'y' }))).toEqual(['IdSeen', 'RunSkipped']);
});

test('a backfill runs past times one after another, or many at once, up to what the schedule does itself', () => {
  const line = new LineSpec();
  line.set(T0 + 10 * MINUTE + 1, everyMinute());
  const body = { v: 1, kind: 'backfill', from: T0 + MINUTE, to: T0 + 60 * MINUTE } as const;
  const now = T0 + 10 * MINUTE + 5;
  expect(started(line.give(now, { ...body, id: 'one', to: T0 + 3 * MINUTE, overlap: 'bufferAll' }))).toEqual([1]);
  expect(line.state.backfills).toMatchObject([{ id: 'one', started: 1 }]);
  expect(started(line.give(now + 1, { v: 1, kind: 'look' }, done(1)))).toEqual([2]);
  expect(started(line.give(now + 2, { v: 1, kind: 'look' }, done(2)))).toEqual([3]);
  expect(line.state.backfills).toEqual([]);
  line.give(now + 3, { v: 1, kind: 'look' }, done(3));
  expect(started(line.give(now + 4, { ...body, id: 'two', overlap: 'allow' }))).toEqual([
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
  ]);
});

describe('runs of one key that replace each other', () => {
  const replace = (runId: string, known: string[] = []) =>
    ({ v: 1, kind: 'replace', runId, known, payload: { n: runId } }) as const;

  test('the open run is terminated, the newest one begins when it has ended, those between never do', () => {
    const line = new LineSpec('=k');
    expect(typesOf(line.give(T0, replace('b', ['a'])))).toEqual(['IdSeen', 'RunAdopted', 'StopAsked', 'RunBuffered']);
    expect(typesOf(line.give(T0 + 1, replace('c', ['a'])))).toEqual(['IdSeen', 'RunSkipped', 'RunBuffered']);
    expect(line.give(T0 + 2, replace('b', ['a']))).toEqual([]);
    const after = line.give(T0 + 3, { v: 1, kind: 'look' }, { a: 'cancelled' });
    expect(after).toMatchObject([
      { type: 'RunEnded' },
      { type: 'RunFired', start: { runId: 'c', payload: { n: 'c' } } },
    ]);
  });

  test('nothing is waited for when the known run has ended', () => {
    const line = new LineSpec('=k');
    expect(typesOf(line.give(T0, replace('b', ['a']), { a: 'failed' }))).toEqual(['IdSeen', 'RunFired']);
  });
});
