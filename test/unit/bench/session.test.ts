import { describe, expect, it } from 'vitest';
import type { AnyBenchmark } from '../../../bench/benchmark.ts';
import type { SeriesSpec, Wanted } from '../../../bench/options.ts';
import type { RoundOptions, RoundResult } from '../../../bench/runner.ts';
import {
  entriesOfSeries,
  isWhole,
  nameOf,
  runSession,
  type Series,
  type SessionPorts,
  sectionOf,
} from '../../../bench/session.ts';

function benchmark(name: string, more: Partial<AnyBenchmark> = {}): AnyBenchmark {
  return {
    ...{ name, what: 'things', rows: [{ key: 'rate', label: 'things/s', digits: 0 }] },
    figures: (rounds) => [
      ...rounds.slice(-1).map(({ rate = Number.NaN }) => ({
        ...{ figure: `${name}.rate`, value: rate, unit: '1/s', against: 'bare', ratio: rate / 100 },
      })),
    ],
    ...more,
    kind: 'pure',
    round: async () => ({}),
  };
}

const want = (series: readonly SeriesSpec[], more: Partial<Wanted> = {}): Wanted => ({
  ...{ series, leftOut: [], rounds: 2, quick: false, json: false, write: true, results: '' },
  ...more,
});
const spec = (name: string, more: Partial<AnyBenchmark> = {}): SeriesSpec => ({
  benchmark: benchmark(name, more),
  sync: undefined,
});

interface World extends SessionPorts {
  readonly log: string[];
  readonly keptOnes: string[];
}

/** @param secondsEach how long every round takes */
function world(
  round: (series: SeriesSpec, n: number, options: RoundOptions) => Partial<RoundResult>,
  secondsEach = 1,
): World {
  const [log, keptOnes]: [string[], string[]] = [[], []];
  let at = Date.UTC(2026, 10, 24, 13, 30);
  let n = 0;
  return {
    ...{ log, keptOnes },
    say: (text) => void log.push(text),
    runRound: async (series, options) => {
      at += secondsEach * 1_000;
      return { figures: {}, gaps: [], systems: new Map(), ...round(series, n++, options) };
    },
    now: () => new Date(at),
    load: () => 0.5,
    kept: (series) => void keptOnes.push(`${nameOf(series)} ${series.rounds.length}`),
  };
}

describe('a session', () => {
  it('has the rounds outermost, and hands over after each', async () => {
    const ports = world((_series, n) => ({ figures: { rate: 100 + n } }));
    const all = await runSession(want([spec('a'), spec('b')]), ports);
    expect(ports.keptOnes).toEqual(['a 1', 'b 1', 'a 2', 'b 2']);
    expect(all.map((series) => entriesOfSeries(series, false)[0])).toMatchObject([
      { figure: 'a.rate', value: 102, rounds: 2, date: '2026-11-24T13:30Z', load: 0.5 },
      { figure: 'b.rate', value: 103, rounds: 2 },
    ]);
    expect(isWhole(all)).toBe(true);
  });

  it('goes on past one that fails, keeps what its earlier rounds measured, and does not try it again', async () => {
    const tried: string[] = [];
    const ports = world((series, n) => {
      tried.push(`${nameOf(series)}${n}`);
      if (nameOf(series) === 'a' && n >= 2) throw new Error('its server ended');
      return { figures: { rate: 100 } };
    });
    const all = await runSession(want([spec('a'), spec('b')], { rounds: 3 }), ports);
    expect(tried).toEqual(['a0', 'b1', 'a2', 'b3', 'b4']);
    expect(isWhole(all)).toBe(false);
    expect(all.map(({ rounds, failure }) => [rounds.length, failure])).toEqual([
      [1, 'its server ended'],
      [3, undefined],
    ]);
    expect(all.map((series) => sectionOf(series, false))[0]).toContain('- a later round failed: its server ended');
  });

  it('says in a sentence what was not measured at all', async () => {
    const ports = world(() => {
      throw new Error('no server');
    });
    const [series] = await runSession(want([spec('a')]), ports);
    expect(series && sectionOf(series, false)).toBe('### a: things\n\n- not measured: no server');
    expect(series && entriesOfSeries(series, false)).toEqual([]);
  });

  it('is not whole with a gap, which stands in the section beside the settings of the systems', async () => {
    const gap = { figure: 'a.rate', against: 'peer', sentence: 'the peer is not to be had' };
    const systems = new Map([['other', 'version 2; on disk']]);
    const ports = world(() => ({ figures: { rate: 100 }, gaps: [gap], systems }));
    const all = await runSession(want([spec('a')], { rounds: 1 }), ports);
    expect(isWhole(all)).toBe(false);
    expect(
      sectionOf(all[0] as Series, false)
        .split('\n')
        .slice(-2),
    ).toEqual(['- other: version 2; on disk', '- not measured: peer: the peer is not to be had']);
  });

  it('fails a benchmark that hands over a figure without a number, and keeps nothing of it', async () => {
    const ports = world(() => ({ figures: {} }));
    const all = await runSession(want([spec('a')]), ports).catch((error: unknown) => String(error));
    expect(all).toMatchObject([{ failure: 'a.rate against bare has no number: value NaN, ratio NaN' }]);
    expect(ports.keptOnes).toEqual([]);
  });

  it('does no more rounds than are worth their time', async () => {
    const ports = world(() => ({ figures: { rate: 1 } }));
    const all = await runSession(want([spec('a', { maxRounds: 1 }), spec('b')], { rounds: 3 }), ports);
    expect(all.map(({ rounds }) => rounds.length)).toEqual([1, 3]);
  });

  it('when quick, ends within five minutes and says what it did not get to', async () => {
    const left: (number | undefined)[] = [];
    const ports = world((_series, _n, { secondsLeft }) => {
      left.push(secondsLeft);
      return { figures: { rate: 1 } };
    }, 200);
    const names = ['a', 'b', 'c'].map((name) => spec(name));
    const all = await runSession(want(names, { quick: true, rounds: 1 }), ports);
    expect(left).toEqual([285, 85]);
    expect(all[2]?.failure).toBe('not run: the five minutes of a quick run were over');
    expect(sectionOf(all[0] as Series, true)).toContain('1 round, quick: not to be quoted');
  });
});
