import { describe, expect, test } from 'vitest';
import { addCounts, countReport, lastLine, parseLastLine, strictCounts } from '../../../ops/lib/report.ts';

const file = (status: string, ...states: string[]) => ({
  status,
  assertionResults: states.map((one) => ({ status: one })),
});

describe('counting a report', () => {
  test.each([
    ['all passed', [file('passed', 'passed', 'passed')], 0, { passed: 2, failed: 0, skipped: 0 }],
    ['one failed', [file('failed', 'passed', 'failed')], 1, { passed: 1, failed: 1, skipped: 0 }],
    [
      'skipped and to do',
      [file('passed', 'passed', 'skipped', 'todo', 'pending')],
      0,
      { passed: 1, failed: 0, skipped: 3 },
    ],
    ['a file that does not load', [file('failed'), file('passed', 'passed')], 1, { passed: 1, failed: 1, skipped: 0 }],
    ['a hook that threw', [file('failed', 'passed', 'skipped')], 1, { passed: 1, failed: 1, skipped: 1 }],
    ['an unhandled rejection in no test', [file('passed', 'passed')], 1, { passed: 1, failed: 1, skipped: 0 }],
    ['nothing at all', [], 1, { passed: 0, failed: 1, skipped: 0 }],
  ])('%s', (_, testResults, exitCode, counts) => {
    expect(countReport({ testResults }, exitCode)).toEqual(counts);
  });

  test('a test that vanished is a failed one where everything is provisioned', () => {
    expect(strictCounts({ passed: 5, failed: 1, skipped: 2 })).toEqual({ passed: 5, failed: 3, skipped: 2 });
  });

  test('the last line is exactly this', () => {
    const sum = addCounts({ passed: 5, failed: 1, skipped: 2 }, { passed: 7, failed: 0, skipped: 0 });
    expect(lastLine(sum)).toBe('12 passed, 1 failed');
  });

  test.each([
    ['✓ one\n4 passed, 0 failed\n', 0, { passed: 4, failed: 0, skipped: 0 }],
    ['✗ one\n3 passed, 1 failed\n', 1, { passed: 3, failed: 1, skipped: 0 }],
    ['4 passed, 0 failed\n', 1, { passed: 4, failed: 1, skipped: 0 }],
    ['it does not load\n', 1, { passed: 0, failed: 1, skipped: 0 }],
    ['', 0, { passed: 0, failed: 1, skipped: 0 }],
  ])('is read back from what a program printed: %j with exit code %i', (output, code, counts) => {
    expect(parseLastLine(output, code)).toEqual(counts);
  });
});
