/** When schedules are due: shifts of the clocks, intervals, ends, jitter; the way back agrees with the way forward. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ScheduleDefinition } from '../../../src/engine/index.ts';
import { checkCron, dueTime, isTimeZone, latestTime, nextTime } from '../../../src/schedules/index.ts';

const BASE = { name: 's', overlap: 'skip', catchUp: { policy: 'latest', windowMs: 1_000 } } as const;
const cron = (text: string, timeZone = 'UTC'): ScheduleDefinition => ({ ...BASE, cron: text, timeZone });
const ms = (iso: string): number => Date.parse(iso);

function times(spec: ScheduleDefinition, from: string, count: number): string[] {
  const found: string[] = [];
  for (let at = ms(from); found.length < count; ) {
    const next = nextTime(spec, at);
    if (next === undefined) break;
    found.push(new Date(next).toISOString().replace('.000Z', 'Z'));
    at = next;
  }
  return found;
}

describe('cron and the shifts of the clocks', () => {
  test('Europe/Berlin: a time that does not exist is run once, at the shift', () => {
    expect(times(cron('30 2 * * *', 'Europe/Berlin'), '2026-03-27T12:00:00Z', 3)).toEqual([
      '2026-03-28T01:30:00Z',
      '2026-03-29T01:00:00Z', // 02:00 became 03:00
      '2026-03-30T00:30:00Z',
    ]);
  });

  test('Europe/Berlin: a time that exists twice is run once, the first time', () => {
    expect(times(cron('30 2 * * *', 'Europe/Berlin'), '2026-10-23T12:00:00Z', 3)).toEqual([
      '2026-10-24T00:30:00Z',
      '2026-10-25T00:30:00Z', // 02:30 summer time; 02:30 winter time is 01:30Z
      '2026-10-26T01:30:00Z',
    ]);
  });

  test('America/New_York: both shifts', () => {
    expect(times(cron('30 2 * * *', 'America/New_York'), '2026-03-06T12:00:00Z', 3)).toEqual([
      '2026-03-07T07:30:00Z',
      '2026-03-08T07:00:00Z',
      '2026-03-09T06:30:00Z',
    ]);
    expect(times(cron('30 1 * * *', 'America/New_York'), '2026-10-30T12:00:00Z', 3)).toEqual([
      '2026-10-31T05:30:00Z',
      '2026-11-01T05:30:00Z',
      '2026-11-02T06:30:00Z',
    ]);
  });

  test('every half hour means every elapsed one, also while the clock says it twice or skips it', () => {
    const half = cron('*/30 * * * *', 'Europe/Berlin');
    for (const from of ['2026-03-28T23:45:00Z', '2026-10-24T23:45:00Z']) {
      const found = times(half, from, 6).map(ms);
      expect(found.slice(1).map((at, n) => at - (found[n] ?? 0))).toEqual(Array(5).fill(1_800_000));
    }
  });

  test('what cron and zones are refused', () => {
    for (const bad of ['* * * *', '61 * * * *', '* * * * * * *', '@daily', '? * * * *', '0 0 31 2 *', 'a b c d e']) {
      expect(() => checkCron(bad), bad).toThrow(expect.objectContaining({ code: 'MR_INPUT_INVALID' }));
    }
    expect(() => checkCron('*/10 30 6 * * 1-5', 'Europe/Berlin')).not.toThrow();
    expect([isTimeZone('Europe/Berlin'), isTimeZone('Mars/Base')]).toEqual([true, false]);
  });
});

test('intervals are counted from the epoch and their offset; ends are inside; one-off is once', () => {
  const quarter = { ...BASE, everyMs: 900_000, offsetMs: 60_000 };
  expect(times(quarter, '2026-01-01T00:00:00Z', 2)).toEqual(['2026-01-01T00:01:00Z', '2026-01-01T00:16:00Z']);
  const bounded = { ...quarter, startAt: ms('2026-01-01T00:16:00Z'), endAt: ms('2026-01-01T00:31:00Z') };
  expect(times(bounded, '2026-01-01T00:00:00Z', 9)).toEqual(['2026-01-01T00:16:00Z', '2026-01-01T00:31:00Z']);
  expect(latestTime(bounded, ms('2026-01-01T00:15:00Z'))).toBeUndefined();
  expect(latestTime(bounded, ms('2027-01-01T00:00:00Z'))).toBe(bounded.endAt);
  const once = { ...BASE, at: ms('2026-01-01T00:00:00Z') };
  expect([nextTime(once, once.at - 1), nextTime(once, once.at), latestTime(once, once.at)]).toEqual([
    once.at,
    undefined,
    once.at,
  ]);
});

test('jitter follows from schedule and time, and is less than asked for', () => {
  const spec = { ...BASE, everyMs: 60_000, jitterMs: 30_000 };
  const dues = Array.from({ length: 50 }, (_, n) => dueTime('w', spec, n * 60_000) - n * 60_000);
  expect(dues).toEqual(Array.from({ length: 50 }, (_, n) => dueTime('w', spec, n * 60_000) - n * 60_000));
  expect(Math.max(...dues)).toBeLessThan(30_000);
  expect(new Set(dues).size).toBeGreaterThan(40);
  expect(dueTime('other', spec, 0)).not.toBe(dueTime('w', spec, 0));
});

test('the last time until t is the one that the way forward finds', () => {
  const specs = [
    cron('30 2 * * *', 'Europe/Berlin'),
    cron('*/20 1-3 * * *', 'America/New_York'),
    cron('15 */7 * * 0', 'Europe/Berlin'),
    cron('*/30 * * * * *'),
    { ...BASE, everyMs: 7_000, offsetMs: 11 },
  ];
  const days = [
    ms('2026-03-08T00:00:00Z'),
    ms('2026-03-29T00:00:00Z'),
    ms('2026-10-25T00:00:00Z'),
    ms('2026-11-01T00:00:00Z'),
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...specs),
      fc.constantFrom(...days),
      fc.integer({ min: 0, max: 86_400_000 }),
      (spec, day, into) => {
        const until = day + into;
        const last = latestTime(spec, until);
        expect(last).toBeLessThanOrEqual(until);
        const next = nextTime(spec, last ?? Number.NaN);
        expect(next).toBeGreaterThan(until);
        expect(nextTime(spec, (last ?? Number.NaN) - 1)).toBe(last);
      },
    ),
    { numRuns: 400 },
  );
});
