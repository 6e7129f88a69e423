/** All benchmarks, in the order they run. */
import { appendBenchmark } from './append.ts';
import { bareBenchmark } from './bare.ts';
import type { AnyBenchmark } from './benchmark.ts';
import { coreBenchmark } from './core.ts';
import { engineBenchmark } from './engine.ts';
import { functionsBenchmark } from './functions.ts';
import { limitsBenchmark } from './limits.ts';
import { SCALE_BENCHMARKS } from './scale/benchmarks.ts';
import { workerBenchmark } from './worker.ts';

export const BENCHMARKS: readonly AnyBenchmark[] = [
  limitsBenchmark,
  appendBenchmark,
  functionsBenchmark,
  bareBenchmark,
  engineBenchmark,
  coreBenchmark,
  workerBenchmark,
  ...SCALE_BENCHMARKS,
];
