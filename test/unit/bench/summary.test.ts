import { describe, expect, it } from 'vitest';
import { percentile, spread } from '../../../bench/summary.ts';

describe('figures of the benchmark', () => {
  it('takes the smallest value that so many per cent do not exceed', () => {
    const values = [5, 1, 4, 2, 3];
    expect([percentile(values, 50), percentile(values, 99), percentile(values, 1)]).toEqual([3, 5, 1]);
    expect(percentile([], 50)).toBeNaN();
  });

  it('gives minimum, median and maximum of the rounds', () => {
    expect(spread([3, 9, 1])).toEqual({ min: 1, median: 3, max: 9 });
  });
});
