/** What the driver of systems reports, against systems whose times are known. The clock stands still unless a test moves it. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { schedule } from '../../../bench/systems/arrivals.ts';
import {
  alone,
  fanOut,
  latencies,
  openLoop,
  payloadOf,
  saturated,
  signal,
  sleep as sleepers,
} from '../../../bench/systems/measure.ts';
import { elapse, stalling, systemOf } from '../../kit/known-system.ts';

/** Lets the clock run until `work` has ended. */
async function through<T>(work: Promise<T>): Promise<T> {
  let over = false;
  const done = work.finally(() => {
    over = true;
  });
  done.catch(() => undefined);
  while (!over) await vi.advanceTimersByTimeAsync(1);
  return done;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('saturated', () => {
  test('counts the runs that end in the measured time, and only those', async () => {
    const system = systemOf({ run: (steps) => elapse(10).then(() => steps) });
    const result = await through(saturated(system, { steps: 3, atOnce: 5, seconds: 2, warmSeconds: 1 }));
    expect({ runs: result.runs, perSecond: result.perSecond }).toEqual({ runs: 1_000, perSecond: 500 });
    expect([result.p50Ms, result.p99Ms, result.maxMs]).toEqual([10, 10, 10]);
  });

  test('what was slow in the warm-up is not in the figures', async () => {
    let runs = 0;
    const system = systemOf({ run: (steps) => elapse(++runs <= 5 ? 900 : 10).then(() => steps) });
    const result = await through(saturated(system, { steps: 3, atOnce: 5, seconds: 2, warmSeconds: 1 }));
    expect({ runs: result.runs, max: result.maxMs }).toEqual({ runs: 1_000, max: 10 });
  });

  test('a run that gives the wrong result fails the measurement', async () => {
    const system = systemOf({ run: (steps) => elapse(10).then(() => steps - 1) });
    const wrong = saturated(system, { steps: 3, atOnce: 5, seconds: 2 });
    await expect(through(wrong)).rejects.toThrow('known: a run of 3 steps gave 2');
  });

  test('so does one that fails halfway, and the others then stop', async () => {
    let runs = 0;
    const run = async (steps: number): Promise<number> => {
      await elapse(10);
      if (++runs === 500) throw new Error('no more');
      return steps;
    };
    await expect(through(saturated(systemOf({ run }), { steps: 3, atOnce: 5, seconds: 2 }))).rejects.toThrow('no more');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(runs).toBeLessThanOrEqual(505);
  });

  test('goes on until as many have ended as are under way: the first of a wave alone say nothing', async () => {
    let runs = 0;
    // Of five the first takes 1.2 s, the next 2.4 s and so on: a window of 1 s after 1 s of warm-up sees one end.
    const system = systemOf({ run: (steps) => elapse(1_200 * Math.min(5, ++runs)).then(() => steps) });
    const result = await through(saturated(system, { steps: 3, atOnce: 5, seconds: 1, warmSeconds: 1 }));
    expect({ runs: result.runs, perSecond: result.perSecond }).toEqual({ runs: 5, perSecond: 1 });
  });

  test('nothing measured is said, not given as a number', async () => {
    const system = systemOf({ run: (steps) => elapse(20_000).then(() => steps) });
    await expect(through(saturated(system, { steps: 1, atOnce: 1, seconds: 1 }))).rejects.toThrow(
      'nothing was measured',
    );
  });
});

describe('alone', () => {
  test('one after another, the warm-up apart', async () => {
    let [runs, underWay, most] = [0, 0, 0];
    const run = async (steps: number): Promise<number> => {
      most = Math.max(most, ++underWay);
      await elapse(++runs <= 2 ? 100 : runs === 12 ? 50 : 5);
      underWay--;
      return steps;
    };
    const result = await through(alone(systemOf({ run }), { steps: 1, count: 10, warmCount: 2 }));
    expect({ p50: result.p50Ms, p99: result.p99Ms, runs, most }).toEqual({ p50: 5, p99: 50, runs: 12, most: 1 });
  });

  test('the payload has the bytes that were asked for', async () => {
    const sizes = new Set<number>();
    const run = async (steps: number, payload: string): Promise<number> => {
      sizes.add(payload.length);
      return steps;
    };
    await through(alone(systemOf({ run }), { steps: 1, count: 2, payloadBytes: 4_096 }));
    await through(alone(systemOf({ run }), { steps: 1, count: 2 }));
    expect([...sizes]).toEqual([4_096, 128]);
    expect(new Set(payloadOf({ steps: 1, payloadBytes: 4_096 })).size).toBe(64);
  });
});

describe('open loop', () => {
  const options = { steps: 1, perSecond: 100, seconds: 2, warmSeconds: 0, arrivals: 'constant' } as const;

  test('counts the waiting of all who were due while the system stalled', async () => {
    const result = await through(openLoop(stalling(51, 500), options));
    // Due every 10 ms: the one that stalls takes 500 ms, those due after it 490, 480, … 10.
    expect({ runs: result.runs, p50: result.p50Ms, p99: result.p99Ms, max: result.maxMs }).toEqual({
      ...{ runs: 199, p50: 0, p99: 490, max: 500 },
    });
    expect(result.offeredPerSecond).toBe(99.5);
  });

  test('its twin: one run after another sees a single slow one, whatever would have waited', async () => {
    const result = await through(alone(stalling(51, 500), { steps: 1, count: 199, warmCount: 0 }));
    expect({ p50: result.p50Ms, p99: result.p99Ms, max: result.maxMs }).toEqual({ p50: 0, p99: 0, max: 500 });
  });

  test('starts by the schedule however many are under way', async () => {
    let [underWay, most] = [0, 0];
    const run = async (steps: number): Promise<number> => {
      most = Math.max(most, ++underWay);
      await elapse(1_000);
      underWay--;
      return steps;
    };
    const result = await through(openLoop(systemOf({ run }), options));
    expect({ most, p99: result.p99Ms, late: result.lateP99Ms }).toEqual({ most: 100, p99: 1_000, late: 0 });
  });

  test('arrivals of the warm-up are run, not counted', async () => {
    let runs = 0;
    const run = async (steps: number): Promise<number> => {
      runs++;
      return steps;
    };
    const result = await through(openLoop(systemOf({ run }), { ...options, warmSeconds: 1 }));
    expect({ runs, counted: result.runs }).toEqual({ runs: 299, counted: 200 });
  });

  test('a run that fails fails the measurement', async () => {
    const run = (): Promise<number> => Promise.reject(new Error('refused'));
    await expect(through(openLoop(systemOf({ run }), options))).rejects.toThrow('refused');
  });
});

describe('arrivals', () => {
  test('constant ones are evenly spaced', () => {
    expect(schedule('constant', 4, 1.1, 1)).toEqual([250, 500, 750, 1_000]);
  });

  test('Poisson ones repeat with their seed, differ with another, and come at the rate asked for', () => {
    const one = schedule('poisson', 500, 20, 7);
    expect(schedule('poisson', 500, 20, 7)).toEqual(one);
    expect(schedule('poisson', 500, 20, 8)).not.toEqual(one);
    expect(Math.abs(one.length / 20 - 500)).toBeLessThan(25);
    const gaps = one.slice(1).map((at, i) => at - (one[i] ?? 0));
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const spread = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
    // Of an exponential distribution the standard deviation is the mean; evenly spaced ones would have none.
    expect(spread / mean).toBeGreaterThan(0.9);
    expect(spread / mean).toBeLessThan(1.1);
  });
});

describe('the rest', () => {
  test('sleepers: how late, not how long', async () => {
    const system = systemOf({ sleep: (ms) => elapse(ms + 7) });
    const result = await through(sleepers(system, { ms: 500, count: 20, spreadMs: 100 }));
    expect([result.p50Ms, result.p99Ms, result.runs]).toEqual([7, 7, 20]);
  });

  test('signals: from sending to the result, each to a function of its own', async () => {
    let [open, sent] = [0, 0];
    const waiting = async (): Promise<{ send(): Promise<void> }> => {
      open++;
      return {
        send: async () => {
          sent++;
          await elapse(4);
        },
      };
    };
    const result = await through(signal(systemOf({ waiting }), { count: 10 }));
    expect([result.p50Ms, result.runs, open, sent]).toEqual([4, 10, 12, 12]);
  });

  test('fan-out: the time of the whole; a wrong count fails', async () => {
    const right = systemOf({ fanOut: (width) => elapse(30).then(() => width) });
    expect((await through(fanOut(right, { width: 1_000, count: 3 }))).p50Ms).toBe(30);
    const wrong = systemOf({ fanOut: async () => 999 });
    await expect(through(fanOut(wrong, { width: 1_000, count: 3 }))).rejects.toThrow('a fan-out of 1000 gave 999');
  });

  test('what a system has not is said', async () => {
    await expect(fanOut(systemOf({}), { width: 1, count: 1 })).rejects.toThrow('known has no fan-out');
    await expect(sleepers(systemOf({}), { ms: 1, count: 1 })).rejects.toThrow('known has no timers');
    await expect(signal(systemOf({}), { count: 1 })).rejects.toThrow('known has no signals');
  });

  test('percentiles are values that occurred', () => {
    const values = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(latencies(values)).toEqual({ p50Ms: 50, p99Ms: 99, maxMs: 100 });
  });
});
