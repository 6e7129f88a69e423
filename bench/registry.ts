/** All benchmarks, in the order they run. */
import { appendBenchmark } from './append.ts';
import type { AnyBenchmark } from './benchmark.ts';
import { coreBenchmark } from './core.ts';
import { engineBenchmark } from './engine.ts';
import { functionsBenchmark } from './functions.ts';
import { workerBenchmark } from './worker.ts';

export const BENCHMARKS: readonly AnyBenchmark[] = [
  appendBenchmark,
  functionsBenchmark,
  engineBenchmark,
  coreBenchmark,
  workerBenchmark,
];
