/**
 * One project per way of running: `verify` needs nothing but Node and ends in seconds; the others need real servers or
 * minutes. `ops/test.ts` runs them in order, `npx vitest run --project <name>` runs one.
 */
import { defineConfig } from 'vitest/config';

// `. .millrace/run/default/env` points a shell at the demo: tests must meet their own servers, whoever runs them. The cache
// is the one thing that they share.
for (const name of Object.keys(process.env)) {
  if (name.startsWith('MILLRACE_') && name !== 'MILLRACE_CACHE') delete process.env[name];
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

interface ProjectOptions {
  readonly name: string;
  readonly include: readonly string[];
  readonly testTimeout: number;
  readonly hookTimeout: number;
  readonly maxWorkers: number;
  /** Whether files share a process and its modules, one after another, in random order. */
  readonly shared?: boolean;
}

function project(options: ProjectOptions) {
  const { name, include, testTimeout, hookTimeout, maxWorkers, shared = false } = options;
  return {
    extends: true as const,
    test: {
      name,
      include: [...include],
      testTimeout,
      hookTimeout,
      maxWorkers,
      isolate: !shared,
      sequence: { groupOrder: 0, shuffle: { files: shared, tests: false } },
    },
  };
}

export default defineConfig({
  test: {
    pool: 'forks',
    // A test that hangs on shutdown is a bug; do not let it hang the whole run.
    teardownTimeout: 20 * SECOND,
    passWithNoTests: false,
    // A failed test is looked into, never run again until it passes (docs/flakes.md).
    retry: 0,
    projects: [
      project({
        name: 'verify',
        include: [
          'test/unit/**/*.test.ts',
          'test/property/**/*.test.ts',
          'test/contract/**/*.test.ts',
          'test/*.test.ts',
        ],
        testTimeout: 20 * SECOND,
        hookTimeout: 10 * SECOND,
        maxWorkers: 2,
        // Loading zod, TypeScript and the like anew for each file took two thirds of the processor time. These tests share what
        // modules hold, and no module of src holds state; the random order is there to find a test that leans on another.
        shared: true,
      }),
      project({
        name: 'integration',
        include: ['test/integration/**/*.test.ts'],
        testTimeout: 2 * MINUTE,
        hookTimeout: 3 * MINUTE,
        // Each file spawns servers of its own; more than one at a time starves them on two cores.
        maxWorkers: 1,
      }),
      project({
        name: 'simulation',
        include: ['test/simulation/**/*.test.ts'],
        testTimeout: 5 * MINUTE,
        hookTimeout: MINUTE,
        maxWorkers: 2,
      }),
      project({
        name: 'chaos',
        include: ['test/chaos/**/*.test.ts'],
        testTimeout: 12 * MINUTE,
        hookTimeout: 5 * MINUTE,
        maxWorkers: 1,
      }),
      project({
        name: 'browser',
        include: ['test/browser/**/*.test.ts'],
        testTimeout: 2 * MINUTE,
        hookTimeout: 3 * MINUTE,
        maxWorkers: 1,
      }),
    ],
  },
});
