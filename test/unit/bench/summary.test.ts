import { describe, expect, it } from 'vitest';
import { inTurn, timed } from '../../../bench/benchmark.ts';
import { formatSummary, percentile, spread, summarize } from '../../../bench/summary.ts';

describe('figures of the benchmark', () => {
  it('takes the smallest value that so many per cent do not exceed', () => {
    const values = [5, 1, 4, 2, 3];
    expect([percentile(values, 50), percentile(values, 99), percentile(values, 1)]).toEqual([3, 5, 1]);
    expect(percentile([], 50)).toBeNaN();
  });

  it('gives minimum, median and maximum of the rounds', () => {
    expect(spread([3, 9, 1])).toEqual({ min: 1, median: 3, max: 9 });
  });

  it('summarizes each row over the rounds that measured it', () => {
    const rows = [
      { key: 'rate', label: 'runs/s', digits: 0 },
      { key: 'ratio', label: 'ratio', digits: 2 },
    ];
    const summary = summarize(rows, [{ rate: 10, ratio: 0.5 }, { rate: 30 }, { rate: 20, ratio: 0.25 }]);
    expect(summary).toEqual({ rate: { min: 10, median: 20, max: 30 }, ratio: { min: 0.25, median: 0.25, max: 0.5 } });
    expect(formatSummary('title', rows, summary).split('\n')).toEqual([
      '',
      'title',
      '|        |      min |   median |      max |',
      '|--------|---------:|---------:|---------:|',
      '| runs/s |       10 |       20 |       30 |',
      '| ratio  |     0.25 |     0.25 |     0.50 |',
    ]);
  });
});

describe('how the benchmarks measure', () => {
  it('does each piece of work once, never more at once than asked', async () => {
    const done: number[] = [];
    let [open, most] = [0, 0];
    await timed(7, 3, async (i) => {
      most = Math.max(most, ++open);
      await Promise.resolve();
      open--;
      done.push(i);
    });
    expect([done.sort(), most]).toEqual([[0, 1, 2, 3, 4, 5, 6], 3]);
  });

  it('runs two things in turn, the order changing, and adds up what each took', async () => {
    const order: string[] = [];
    const part = (name: string, seconds: number) => async (turn: number) => {
      order.push(`${name}${turn}`);
      return seconds;
    };
    expect(await inTurn(part('a', 1), part('b', 2))).toEqual([3, 6]);
    expect(order).toEqual(['a0', 'b0', 'b1', 'a1', 'a2', 'b2']);
  });
});
