import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { remarkOn } from '../../../bench/labels.ts';
import {
  amountText,
  README_BEGIN,
  README_END,
  ratioText,
  readmeSection,
  replaceSection,
  targetsLine,
} from '../../../bench/report.ts';
import { type Entry, entriesOf } from '../../../bench/results.ts';
import { RESULTS, readLatest } from '../../../bench/store.ts';
import { judge } from '../../../bench/targets.ts';
import { ROOT_DIR } from '../../../ops/lib/paths.ts';

const OF = {
  benchmark: 'functions',
  sync: 'lazy',
  date: '2026-11-24T13:30Z',
  rounds: 3,
  load: 1,
  quick: false,
} as const;

function entries(): readonly Entry[] {
  const rate = { figure: 'functions.3.lazy.rate', unit: 'runs/s' };
  return entriesOf(
    [
      { ...rate, value: 9_000, against: 'restate', ratio: 11 },
      { ...rate, value: 9_100, against: 'dbos', ratio: 5.5 },
      { figure: 'fanout.1000', unit: 'ms', value: 30, against: 'bullmq', ratio: 0.75 },
    ],
    [{ figure: 'functions.3.lazy.rate', against: 'temporal', sentence: 'Its server is not to be had.' }],
    OF,
  );
}

describe('the README', () => {
  const text = readmeSection(entries());
  const line = (start: string): string => text.split('\n').find((one) => one.startsWith(start)) ?? '';
  const cells = (row: string): readonly string[] => row.split('|').map((cell) => cell.trim());

  it('has every target, met, not met, or not measured', () => {
    const label = '| function of 3 steps, saturated, lazy ';
    const rows = text.split('\n').filter((row) => row.startsWith(label));
    expect(rows.slice(0, 4).map((row) => cells(row).slice(2, 7))).toEqual([
      ['9,000 runs/s', 'Restate', '11.0 ×', '≥ 10 ×', 'yes'],
      ['9,100 runs/s', 'DBOS', '5.5 ×', '≥ 6 ×', '**no**'],
      ['not measured', 'Temporal', '', '≥ 6 ×', '**no**'],
      ['not measured', 'BullMQ', '', '≥ 6 ×', ''],
    ]);
    expect(cells(line('| refolding a journal'))[2]).toBe('not measured');
  });

  it('has one row per workload with all peers, and shows who wins', () => {
    const columns = cells(line('| workload'));
    const row = cells(line('| fan-out of 1,000 steps'));
    const of = (column: string): string | undefined => row[columns.indexOf(column)];
    expect([of('Millrace'), of('BullMQ'), of('DBOS')]).toEqual(['30 ms', '**0.75 ×**', '']);
    expect(text).toContain('- fan-out of 1,000 steps: 30 ms, 0.75 × of BullMQ. ');
  });

  it('shows our own value once, the worst of those beside several peers', () => {
    const p50 = { figure: 'functions.3.lazy.p50', unit: 'ms', ratio: 9 };
    const gap = { figure: p50.figure, against: 'temporal', sentence: 'It is not to be had.' };
    const both = [
      { ...p50, value: 1.1, against: 'restate' },
      { ...p50, value: 1.3, against: 'dbos' },
    ];
    const rows = readmeSection(entriesOf(both, [gap], OF)).split('\n');
    const [row, ...others] = rows.filter((one) => one.includes('≤ 1.2 ms'));
    expect(cells(row ?? '').slice(2, 7)).toEqual(['1.3 ms', 'DBOS', '9.0 ×', '≤ 1.2 ms', '**no**']);
    expect(others).toEqual([]);
  });

  it('says why something is not measured', () => {
    expect(text).toContain('- Temporal: Its server is not to be had.');
  });

  it('marks what a quick run measured', () => {
    const quick = entries().map((entry): Entry => ({ ...entry, quick: true }));
    expect(readmeSection(quick)).toContain('9,000 runs/s (quick)');
    expect(readmeSection([])).toContain('Nothing is measured yet.');
  });

  it('replaces what is between its markers and nothing else', () => {
    const readme = `before\n${README_BEGIN}\nold\n${README_END}\nafter\n`;
    const replaced = replaceSection(readme, 'new');
    expect(replaced).toBe(`before\n${README_BEGIN}\nnew\n${README_END}\nafter\n`);
    expect(replaceSection(replaced, 'new')).toBe(replaced);
    expect(() => replaceSection('no markers', 'new')).toThrow('it needs one line');
    expect(() => replaceSection(`${README_END}${README_BEGIN}`, 'new')).toThrow('it needs one line');
  });
});

describe('what is committed', () => {
  const latest = readLatest(RESULTS);

  it('is what the README shows; `make bench-readme` writes it', () => {
    const readme = readFileSync(join(ROOT_DIR, 'README.md'), 'utf8');
    expect(replaceSection(readme, readmeSection(latest)) === readme).toBe(true);
    expect(replaceSection(readme, 'another table') === readme).toBe(false);
  });

  it('says of no target that it is met, or not, but by its numbers', () => {
    for (const entry of latest) {
      const { value, ratio } = entry;
      if (value === null || ratio === null) expect(entry.met).not.toBe(true);
      else expect(judge({ ...entry, value, ratio })).toEqual({ target: entry.target, met: entry.met });
    }
  });
});

describe('words and numbers', () => {
  it('shows amounts and ratios with the digits that mean something', () => {
    expect([12_345.6, 123.4, 1.2345, 0.01234].map(amountText)).toEqual(['12,346', '123', '1.23', '0.0123']);
    expect([0.754, 6.04, 12.34, 1_234.5].map(ratioText)).toEqual(['0.75 ×', '6.0 ×', '12.3 ×', '1,235 ×']);
  });

  it('sums up the targets of a run', () => {
    expect(targetsLine(entries())).toBe(
      '2 of 3 targets of this run are not met: functions.3.lazy.rate (dbos), functions.3.lazy.rate (temporal)',
    );
    expect(targetsLine([])).toBe('no figure of this run has a target');
  });

  it('takes the remark of the peer before the one for all', () => {
    const remarks = [
      { figure: 'functions.*', why: 'all' },
      { figure: 'functions.*', against: 'dbos', why: 'its own' },
    ];
    expect(remarkOn('functions.3.lazy.rate', 'DBOS', remarks)).toBe('its own');
    expect(remarkOn('functions.3.lazy.rate', 'restate', remarks)).toBe('all');
    expect(remarkOn('append.lazy.share', 'limit', remarks)).toBeUndefined();
  });
});
