/** Schedules against a slow reference: times counted one by one, policies spelled out. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ScheduleDefinition } from '../../src/engine/index.ts';
import { nextTime, OVERLAPS } from '../../src/schedules/index.ts';
import { LATE_MS } from '../../src/schedules/model/decide.ts';
import { LineSpec, started, T0 } from '../kit/schedule-spec.ts';

const SECOND = 1_000;

/** The times that a look at `now` starts something for, when nothing overlaps. */
function reference(spec: ScheduleDefinition, cursor: number, now: number): number[] {
  const { policy, windowMs } = spec.catchUp;
  const due: number[] = [];
  for (let time = nextTime(spec, cursor); time !== undefined && time <= now; time = nextTime(spec, time))
    due.push(time);
  const late = due.filter((time) => now - time > LATE_MS);
  const onTime = due.filter((time) => now - time <= LATE_MS);
  const candidates = policy === 'none' ? [] : policy === 'latest' ? late.slice(-1) : late;
  return [...candidates.filter((time) => now - time <= windowMs), ...onTime];
}

const spec = fc.record({
  when: fc.constantFrom<Partial<ScheduleDefinition>>(
    { everyMs: 7 * SECOND },
    { everyMs: 60 * SECOND, offsetMs: 11 },
    { cron: '*/5 * * * *', timeZone: 'Europe/Berlin' },
    { cron: '*/15 * * * * *', timeZone: 'America/New_York' },
    { at: T0 + 90 * SECOND },
    { everyMs: 20 * SECOND, startAt: T0 + 100 * SECOND, endAt: T0 + 400 * SECOND },
  ),
  policy: fc.constantFrom('all', 'latest', 'none'),
  windowMs: fc.constantFrom(0, 30 * SECOND, 3_600 * SECOND),
});
type Made = Omit<ScheduleDefinition, 'overlap'>;
const made = ({ when, policy, windowMs }: { when: object; policy: string; windowMs: number }): Made =>
  ({ name: 'tick', ...when, catchUp: { policy, windowMs } }) as Made;
const waits = fc.array(fc.integer({ min: 1, max: 200 * SECOND }), { minLength: 1, maxLength: 15 });

test('every time is started, or let go, as the reference has it, however irregularly somebody looks', () => {
  fc.assert(
    fc.property(spec, waits, (given, gaps) => {
      const described: ScheduleDefinition = { ...made(given), overlap: 'allow' };
      const line = new LineSpec();
      line.set(T0 + 1, described);
      let now = T0 + 1;
      for (const gap of gaps) {
        const from = line.state.cursor;
        now += gap;
        const expected = reference(described, from, now);
        const found = [...started(line.give(now, { v: 1, kind: 'look' }))];
        // What did not fit into one entry is the next one's.
        while (line.state.next?.due === now) found.push(...started(line.give(now, { v: 1, kind: 'due', due: now })));
        expect(found.map((minute) => Math.round(T0 + minute * 60_000))).toEqual(expected);
        // S4
        const next = nextTime(described, line.state.cursor);
        expect(line.state.next?.due).toBe(next);
        if (next !== undefined) expect(next).toBeGreaterThan(now);
      }
    }),
    {
      numRuns: 500,
      // A time that was late by exactly LATE_MS went with those that were missed.
      examples: [
        [{ when: { everyMs: 7_000 }, policy: 'all', windowMs: 0 }, [141_286, 37_459, 83_254]],
        [{ when: { everyMs: 7_000 }, policy: 'latest', windowMs: 30_000 }, [103_121, 9_157, 37_721, 1]],
      ],
    },
  );
});

test('but for allow one run is open at a time, and every start that was buffered comes in its order (S2)', () => {
  const steps = fc.array(fc.record({ gap: fc.integer({ min: 1, max: 30 * SECOND }), ends: fc.boolean() }), {
    minLength: 5,
    maxLength: 40,
  });
  fc.assert(
    fc.property(fc.constantFrom(...OVERLAPS.filter((one) => one !== 'allow')), steps, (overlap, all) => {
      const line = new LineSpec();
      line.set(T0 + 1, {
        name: 'tick',
        everyMs: 10 * SECOND,
        overlap,
        catchUp: { policy: 'all', windowMs: 3_600 * SECOND },
      });
      let now = T0 + 1;
      const starts: number[] = [];
      for (const { gap, ends } of all) {
        now += gap;
        const [open] = line.open;
        starts.push(
          ...started(line.give(now, { v: 1, kind: 'look' }, ends && open !== undefined ? { [open]: 'completed' } : {})),
        );
        expect(line.open.length).toBeLessThanOrEqual(1);
        if (line.open.length === 0) expect(line.state.waiting).toEqual([]);
        if (overlap === 'skip') expect(line.state.waiting).toEqual([]);
        if (overlap === 'bufferOne') expect(line.state.waiting.length).toBeLessThanOrEqual(1);
      }
      expect(starts).toEqual([...starts].sort((a, b) => a - b));
      expect(new Set(starts).size).toBe(starts.length);
    }),
    { numRuns: 300 },
  );
});
