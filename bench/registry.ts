/** All benchmarks, in the order they run. */
import { appendBenchmark } from './append.ts';
import { bareBenchmark } from './bare.ts';
import type { AnyBenchmark } from './benchmark.ts';
import { coreBenchmark } from './core.ts';
import { declaredBenchmark } from './declared.ts';
import { engineBenchmark } from './engine.ts';
import { functionsBenchmark } from './functions.ts';
import { limitsBenchmark } from './limits.ts';
import { prefectBenchmark } from './prefect.ts';
import { refoldBenchmark } from './refold.ts';
import { SCALE_BENCHMARKS } from './scale/benchmarks.ts';
import { tracingBenchmark } from './tracing.ts';
import { workerBenchmark } from './worker.ts';

export const BENCHMARKS: readonly AnyBenchmark[] = [
  limitsBenchmark,
  appendBenchmark,
  functionsBenchmark,
  bareBenchmark,
  declaredBenchmark,
  tracingBenchmark,
  engineBenchmark,
  coreBenchmark,
  refoldBenchmark,
  workerBenchmark,
  prefectBenchmark,
  ...SCALE_BENCHMARKS,
];
