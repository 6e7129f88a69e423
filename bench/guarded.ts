/** The rows of the regression guard, each a ratio of a benchmark at a small scale. */
import { appendBenchmark } from './append.ts';
import { bareBenchmark } from './bare.ts';
import type { AnyBenchmark, Sync } from './benchmark.ts';
import { declaredBenchmark } from './declared.ts';
import type { GuardRow } from './guard-rows.ts';
import { refoldBenchmark } from './refold.ts';

const HALF = 0.5;

/** A figure's ratio as the benchmark itself hands it over. */
function ofFigure(benchmark: AnyBenchmark, sync: Sync | undefined, figure: string): GuardRow['ratio'] {
  return (figures) => benchmark.figures?.([figures], sync).find((one) => one.figure === figure)?.ratio ?? Number.NaN;
}

export const GUARDED: readonly GuardRow[] = [
  {
    name: 'append.lazy.share',
    what: 'appends through the journal beside bare publishing, lazy sync',
    series: { benchmark: appendBenchmark, sync: 'lazy' },
    scale: 0.2,
    ratio: ofFigure(appendBenchmark, 'lazy', 'append.lazy.share'),
    share: HALF,
  },
  {
    name: 'append.always.factor',
    what: 'appends in group commits beside single publishes, every one fsynced',
    series: { benchmark: appendBenchmark, sync: 'always' },
    scale: 0.1,
    ratio: ofFigure(appendBenchmark, 'always', 'append.always.factor'),
    share: HALF,
  },
  {
    name: 'functions',
    what: 'durable functions of 3 steps beside as many bare publishes as they store, lazy sync',
    series: { benchmark: bareBenchmark, sync: 'lazy' },
    scale: 0.2,
    ratio: ({ ratio = Number.NaN }) => ratio,
    share: HALF,
  },
  {
    name: 'declared',
    what: 'declared runs of 3 worker steps beside as many bare publishes as they store, lazy sync',
    series: { benchmark: declaredBenchmark, sync: 'lazy' },
    scale: 0.1,
    ratio: ({ share = Number.NaN }) => share,
    share: HALF,
  },
  {
    name: 'refold',
    what: 'refolding a journal beside JSON.parse of its entries',
    series: { benchmark: refoldBenchmark, sync: undefined },
    scale: 0.1,
    ratio: ofFigure(refoldBenchmark, undefined, 'refold.rate'),
    share: HALF,
  },
];
