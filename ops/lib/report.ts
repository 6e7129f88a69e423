/** Counts of vitest's JSON report. Pure: `ops/test.ts` and `ops/verify.ts` read the file, this says what it means. */

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const NO_COUNTS: Counts = { passed: 0, failed: 0, skipped: 0 };

export function addCounts(a: Counts, b: Counts): Counts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

interface Assertion {
  readonly status: string;
}

interface FileResult {
  readonly status: string;
  readonly assertionResults: readonly Assertion[];
}

/**
 * What a report counts to. A file that failed without a failed test (it does not load, a hook threw) is one failure.
 * @param exitCode of vitest: a failure that is in no test (an unhandled rejection) must still count
 */
export function countReport(report: { readonly testResults: readonly FileResult[] }, exitCode: number): Counts {
  let counts = NO_COUNTS;
  for (const file of report.testResults) {
    const states = file.assertionResults.map(({ status }) => status);
    const failed = states.filter((status) => status === 'failed').length;
    const passed = states.filter((status) => status === 'passed').length;
    const broken = file.status === 'failed' && failed === 0 ? 1 : 0;
    counts = addCounts(counts, { passed, failed: failed + broken, skipped: states.length - passed - failed });
  }
  return exitCode !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/** Skipped tests of a stage whose parts are all provisioned are tests that vanished: they count as failed. */
export function strictCounts(counts: Counts): Counts {
  return { passed: counts.passed, failed: counts.failed + counts.skipped, skipped: counts.skipped };
}

/** The last line of `make test`, exactly. */
export function lastLine(counts: Counts): string {
  return `${counts.passed} passed, ${counts.failed} failed`;
}

/**
 * What a program that ends with {@link lastLine} says of itself.
 * @param exitCode of it: one that fails without saying so, or says nothing, is one failure
 */
export function parseLastLine(output: string, exitCode: number): Counts {
  const found = /^(\d+) passed, (\d+) failed$/.exec(output.trimEnd().split('\n').at(-1) ?? '');
  const counts = { passed: Number(found?.[1] ?? 0), failed: Number(found?.[2] ?? 0), skipped: 0 };
  return (exitCode !== 0 || found === null) && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}
