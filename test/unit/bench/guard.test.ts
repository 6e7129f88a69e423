import { describe, expect, it } from 'vitest';
import type { PureBenchmark } from '../../../bench/benchmark.ts';
import { type GuardRow, judgeRow, median, parseCommitted, printCommitted } from '../../../bench/guard-rows.ts';
import { sentenceOf } from '../../../bench/sentence.ts';
import { ROOT_DIR } from '../../../ops/lib/paths.ts';

const benchmark: PureBenchmark = { name: 'core', what: '', kind: 'pure', rows: [], round: async () => ({}) };
const ROW: GuardRow = {
  ...{ name: 'refold', what: 'refolding beside JSON', series: { benchmark, sync: undefined }, scale: 0.1, share: 0.5 },
  ratio: ({ ratio = Number.NaN }) => ratio,
};
const COMMITTED = { ratio: 0.8, share: 0.5, date: '2026-11-24' };

describe('the guard', () => {
  it('lets pass what is at its floor, and by the best of its tries', () => {
    expect(judgeRow(ROW, COMMITTED, [0.4])).toEqual({
      passed: true,
      sentence: 'refold is 0.40, its floor 0.40 (refolding beside JSON)',
    });
    expect(judgeRow(ROW, COMMITTED, [0.1, 0.5, 0.2]).passed).toBe(true);
  });

  it('fails below it, and says row, ratio, floor and how to look further', () => {
    const { passed, sentence } = judgeRow(ROW, COMMITTED, [0.3, 0.39]);
    expect(passed).toBe(false);
    for (const part of [
      'refold is 0.39, its floor 0.40: 0.5 of 0.8, measured on 2026-11-24',
      'All tries: 0.30, 0.39',
      'node --import tsx bench/main.ts core',
      'node --import tsx bench/guard.ts refold --write',
    ]) {
      expect(sentence).toContain(part);
    }
  });

  it('fails a row that measured nothing, and one that nothing is committed for', () => {
    expect(judgeRow(ROW, COMMITTED, [Number.NaN])).toMatchObject({
      passed: false,
      sentence: expect.stringContaining('gave no ratio'),
    });
    expect(judgeRow(ROW, undefined, [5])).toMatchObject({
      passed: false,
      sentence: expect.stringContaining('has no committed ratio'),
    });
  });

  it('reads what it writes, and nothing that could switch it off', () => {
    expect(parseCommitted(printCommitted({ refold: COMMITTED }))).toEqual({ refold: COMMITTED });
    expect(() => parseCommitted('{"refold":{"ratio":0,"share":0.5,"date":""}}')).toThrow();
    expect(median([3, 1, 2])).toBe(2);
  });
});

describe('an error in a table', () => {
  it('is one line, without the paths of this machine', () => {
    expect(sentenceOf(new Error('no server\nlog line'))).toBe('no server');
    const broken = `host: start failed: file://${ROOT_DIR}/src/a.ts:1\nvar x=1;\n ^^^\nSyntaxError: ${ROOT_DIR}/b.ts is wrong\n  at y`;
    expect(sentenceOf(broken)).toBe('SyntaxError: b.ts is wrong');
    expect(sentenceOf('  ')).toBe('it failed without a message');
    expect(sentenceOf('x'.repeat(400))).toHaveLength(301);
  });
});
