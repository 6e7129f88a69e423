/** The house rules as a test. A finding says which rule it broke and why the rule exists. */
import { describe, expect, test } from 'vitest';
import { RULES, repositoryFiles } from './kit/tidy/index.ts';

const files = repositoryFiles();

describe('the scan', () => {
  test('sees the repository', () => {
    const paths = files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining(['package.json', 'src/kernel/index.ts', 'test/tidy.test.ts', 'Makefile']),
    );
    expect(paths.some((path) => path.includes('node_modules'))).toBe(false);
  });
});

describe.each(RULES)('$name', (rule) => {
  test('holds everywhere', () => {
    const findings = files
      .filter(({ path }) => rule.applies(path))
      .flatMap((file) => rule.check(file).map((finding) => `${file.path}:${finding}`));
    expect(findings, rule.reason).toEqual([]);
  });

  test('can fail', () => {
    expect(rule.applies(rule.bad.path)).toBe(true);
    expect(rule.check(rule.bad)).toHaveLength(1);
  });

  test('lets the good twin pass', () => {
    const { good } = rule;
    expect(rule.applies(good.path) ? rule.check(good) : []).toEqual([]);
  });
});
