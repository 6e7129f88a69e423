import { describe, expect, it } from 'vitest';
import { labelOf } from '../../../bench/labels.ts';
import { formatTarget, judge, TARGETS, type Target, targetOf } from '../../../bench/targets.ts';

const of = (figure: string, against: string, value: number, ratio: number, unit: string) => ({
  ...{ figure, against, value, ratio, unit },
});

describe('targets', () => {
  it('judges a ratio by its floor, and a hair below it fails', () => {
    expect(judge(of('functions.3.lazy.rate', 'restate', 9_000, 10, 'runs/s'))).toEqual({
      target: 'ratio >= 10',
      met: true,
    });
    expect(judge(of('functions.3.lazy.rate', 'restate', 9_000, 9.99, 'runs/s')).met).toBe(false);
  });

  it('has another floor for another peer', () => {
    expect(judge(of('functions.3.lazy.rate', 'DBOS', 9_000, 6, 'runs/s'))).toEqual({ target: 'ratio >= 6', met: true });
  });

  it('judges a value by its ceiling', () => {
    expect(judge(of('functions.3.lazy.p50', 'restate', 1.2, 8, 'ms'))).toEqual({
      target: 'value <= 1.2 ms',
      met: true,
    });
    expect(judge(of('functions.3.lazy.p50', 'restate', 1.21, 8, 'ms')).met).toBe(false);
  });

  it('compares no milliseconds with seconds', () => {
    expect(() => judge(of('cold.first', '30 s', 4_000, 1, 'ms'))).toThrow('cold.first is measured in ms');
  });

  it('says nothing of a figure or a peer that the issue sets no target for', () => {
    const none = { target: null, met: null };
    expect(judge(of('fanout.1000', 'restate', 1, 1, 'ms'))).toEqual(none);
    expect(judge(of('functions.3.always.rate', 'dbos', 1, 1, 'runs/s'))).toEqual(none);
  });

  it('is not met by what is no number', () => {
    expect(judge(of('append.lazy.share', 'limit', Number.NaN, Number.NaN, 'appends/s')).met).toBe(false);
  });

  it('names each figure and peer once, with a label of its own', () => {
    const keys = TARGETS.map(({ figure, against }) => `${figure} ${against}`);
    expect(new Set(keys).size).toBe(keys.length);
    for (const { figure, against } of TARGETS) {
      expect(labelOf(figure)).not.toBe(figure);
      expect(targetOf(figure, against ?? 'anything')?.figure).toBe(figure);
    }
  });

  it('has a unit where the value is judged and none where the ratio is', () => {
    const wrong = TARGETS.filter(({ on, unit }) => (on === 'value') !== (unit !== undefined));
    expect(wrong).toEqual([]);
    const target: Target = { figure: 'x', on: 'value', direction: 'least', limit: 5, unit: 's', sentence: '' };
    expect(formatTarget(target)).toBe('value >= 5 s');
  });
});
