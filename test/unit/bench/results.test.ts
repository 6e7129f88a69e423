import { describe, expect, it } from 'vitest';
import type { Figure } from '../../../bench/benchmark.ts';
import { figureOf } from '../../../bench/benchmark.ts';
import {
  type Circumstances,
  entriesOf,
  mergeEntries,
  mergePage,
  parseEntries,
  printEntries,
  rounded,
} from '../../../bench/results.ts';

const OF: Circumstances = {
  ...{ benchmark: 'append', sync: 'lazy', date: '2026-11-24T13:30Z', rounds: 3, load: 0.123456, quick: false },
};
const SHARE: Figure = {
  ...{ figure: 'append.lazy.share', value: 61_234.56, unit: 'appends/s', against: 'limit', ratio: 0.654321 },
};

describe('figures of rounds', () => {
  it('are medians, with the spread of the ratio', () => {
    const rounds = [{ rate: 10, share: 0.5 }, { rate: 30, share: 0.7 }, { rate: 20 }];
    const rest = { figure: 'f', unit: 'u', against: 'a' };
    expect(figureOf(rounds, { value: 'rate', ratio: 'share' }, rest)).toEqual({
      ...{ figure: 'f', unit: 'u', against: 'a', value: 20, ratio: 0.5 },
      spread: { min: 0.5, median: 0.5, max: 0.7 },
    });
    expect(figureOf(rounds, { value: 'rate', ratio: 'other' }, rest)).toBeUndefined();
  });
});

describe('entries', () => {
  it('carry what was measured, when, under which load, and whether the target is met', () => {
    expect(entriesOf([SHARE], [], OF)).toEqual([
      {
        ...{ figure: 'append.lazy.share', value: 61_235, unit: 'appends/s', against: 'limit', ratio: 0.6543 },
        ...{ target: 'ratio >= 0.6', met: true, benchmark: 'append', sync: 'lazy' },
        ...{ date: '2026-11-24T13:30Z', rounds: 3, load: 0.1235 },
      },
    ]);
  });

  it('of a gap have no numbers, the sentence, and never meet a target', () => {
    const gap = { figure: 'functions.3.lazy.rate', against: 'temporal', sentence: 'it is not to be had here' };
    const [entry] = entriesOf([], [gap, gap], OF);
    expect(entry).toMatchObject({ value: null, ratio: null, target: 'ratio >= 6', met: false, note: gap.sentence });
    expect(entriesOf([], [gap, gap], OF)).toHaveLength(1);
  });

  it('of a gap beside our own value, measured elsewhere, say nothing of its target', () => {
    const p50 = { figure: 'functions.3.lazy.p50', value: 1, unit: 'ms', against: 'restate', ratio: 9 };
    const gap = { figure: p50.figure, against: 'dbos', sentence: 'there is no PostgreSQL' };
    expect(entriesOf([p50], [gap], OF).map(({ met }) => met)).toEqual([true, null]);
    expect(entriesOf([], [gap], OF).map(({ met }) => met)).toEqual([false]);
  });

  it('of a gap give way when another round measured it', () => {
    const gap = { figure: SHARE.figure, against: SHARE.against, sentence: 'one round failed' };
    expect(entriesOf([SHARE], [gap], OF).map(({ value }) => value)).toEqual([61_235]);
  });

  it('refuse a figure without a number and one that is there twice', () => {
    expect(() => entriesOf([{ ...SHARE, ratio: Number.NaN }], [], OF)).toThrow('append.lazy.share against limit');
    expect(() => entriesOf([SHARE, SHARE], [], OF)).toThrow('handed over twice');
  });

  it('round to four digits', () => {
    expect([rounded(0.000123456), rounded(12_345.6), rounded(0), rounded(1.00004)]).toEqual([0.0001235, 12_346, 0, 1]);
  });

  it('are read as they were printed, and nothing else is', () => {
    const entries = entriesOf([SHARE], [], OF);
    expect(parseEntries(printEntries(entries))).toEqual(entries);
    expect(parseEntries(printEntries([]))).toEqual([]);
    expect(() => parseEntries('[{"figure":"x"}]')).toThrow();
  });
});

describe('merging', () => {
  const lazy = entriesOf([SHARE], [], OF);
  const later = { ...OF, date: '2026-11-25T09:00Z' };

  it('puts a series in the place of its earlier measurement and leaves the others their dates', () => {
    const soak = entriesOf([{ figure: 'soak.loop', value: 12, unit: 'ms', against: 'idle', ratio: 0.5 }], [], {
      ...OF,
      benchmark: 'soak',
    });
    const merged = mergeEntries([...soak, ...lazy], entriesOf([{ ...SHARE, value: 1 }], [], later));
    expect(merged.map(({ figure, value, date }) => [figure, value, date])).toEqual([
      ['append.lazy.share', 1, '2026-11-25T09:00Z'],
      ['soak.loop', 12, '2026-11-24T13:30Z'],
    ]);
  });

  it('drops what a series no longer measures, but not what the other setting did', () => {
    const gone = entriesOf([SHARE, { ...SHARE, figure: 'append.other' }], [], OF);
    const always = entriesOf([{ ...SHARE, figure: 'append.always.alone' }], [], { ...OF, sync: 'always' });
    const merged = mergeEntries([...gone, ...always], lazy);
    expect(merged.map(({ figure }) => figure)).toEqual(['append.lazy.share', 'append.always.alone']);
  });

  it('never keeps one figure twice, even when it moved to another benchmark', () => {
    expect(mergeEntries(lazy, entriesOf([SHARE], [], { ...OF, benchmark: 'limits' }))).toHaveLength(1);
  });

  it('is the same when done again', () => {
    expect(mergeEntries(mergeEntries([], lazy), lazy)).toEqual(lazy);
  });
});

describe('a page', () => {
  it('has a new head, sections in the order they first came, and each once', () => {
    const one = mergePage('', '# head one', 'append lazy', '### A\n\n| a |');
    const two = mergePage(one, '# head two', 'core', '### C');
    const three = mergePage(two, '# head three', 'append lazy', '### A anew');
    expect(three).toBe(
      [
        '# head three\n',
        '<!-- series append lazy -->\n### A anew\n<!-- end -->\n',
        '<!-- series core -->\n### C\n<!-- end -->\n',
      ].join('\n'),
    );
  });
});
