import { describe, expect, it } from 'vitest';
import type { AnyBenchmark } from '../../../bench/benchmark.ts';
import { listOf, parseCommand, type Wanted } from '../../../bench/options.ts';

const base = { what: 'something', rows: [] };
const BENCHMARKS: readonly AnyBenchmark[] = [
  { ...base, name: 'append', kind: 'server', round: async () => ({}) },
  { ...base, name: 'core', kind: 'pure', round: async () => ({}) },
  { ...base, name: 'peers', kind: 'free', syncs: ['lazy'], round: async () => ({}), notQuick: 'its worker polls' },
  { ...base, name: 'soak', kind: 'free', long: true, round: async () => ({}) },
];
const parse = (...args: string[]) => parseCommand(args, BENCHMARKS, 'results');

function wanted(...args: string[]): Wanted {
  const command = parse(...args);
  if (command.do !== 'run') throw new Error(`not a run: ${JSON.stringify(command)}`);
  return command.wanted;
}
const series = (...args: string[]) => wanted(...args).series.map(({ benchmark, sync }) => [benchmark.name, sync]);

describe('the command line', () => {
  it('runs all but the long ones, each under the settings it has, and writes', () => {
    expect(series()).toEqual([
      ['append', 'always'],
      ['append', 'lazy'],
      ['core', undefined],
      ['peers', 'lazy'],
    ]);
    expect(wanted()).toMatchObject({ rounds: 3, write: true, quick: false, results: 'results' });
    expect(wanted().leftOut).toEqual(['soak is left out: it takes long; name it or say --full']);
  });

  it('runs a long one when it is named, or all with --full', () => {
    expect(series('soak')).toEqual([['soak', undefined]]);
    expect(series('--full')).toContainEqual(['soak', undefined]);
  });

  it('writes nothing when quick unless asked, and says what quick leaves out', () => {
    expect(wanted('--quick')).toMatchObject({ rounds: 1, write: false });
    expect(wanted('--quick').leftOut).toContainEqual('peers is left out: its worker polls');
    expect(wanted('--quick', '--write').write).toBe(true);
    expect(wanted('--no-write').write).toBe(false);
    expect(series('--quick', 'peers')).toEqual([['peers', 'lazy']]);
  });

  it('takes one setting only', () => {
    expect(series('--sync', 'lazy', 'append', 'core')).toEqual([
      ['append', 'lazy'],
      ['core', undefined],
    ]);
  });

  it.each([
    [['sopa'], 'there is no benchmark "sopa"; there are append, core, peers, soak'],
    [['--rounds', '0'], '--rounds takes a whole number from 1, not "0"'],
    [['--sync', 'never'], '--sync takes always or lazy, not "never"'],
    [['--write', '--no-write'], '--write and --no-write exclude each other'],
    [['--sync', 'always', 'peers'], 'peers is not measured with sync always'],
  ])('says what is wrong with %j', (args, sentence) => {
    expect(parse(...args)).toEqual({ do: 'wrong', sentence });
  });

  it('knows no options but its own', () => {
    expect(parse('--fast')).toMatchObject({ do: 'wrong', sentence: expect.stringContaining('--fast') });
  });

  it('lists, helps, writes the README', () => {
    expect([parse('--help').do, parse('--list').do, parse('--readme').do]).toEqual(['help', 'list', 'readme']);
    expect(listOf(BENCHMARKS)).toContain('soak    something (long: named or --full)');
  });
});
