/** docs/architecture.md lists every numbered invariant of the source, as the source has it, with tests that exist. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT, repositoryFiles } from './kit/tidy/index.ts';

/** Ids at the head of a stateful file: lines such as ` *   M1 an input that …`. */
const HEAD = /^ \* {3}([A-Z]{1,2}\d+) /gm;

function inSource(): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const { path, text } of repositoryFiles()) {
    if (!path.startsWith('src/')) continue;
    const ids = [...text.matchAll(HEAD)].map(([, id = '']) => id);
    if (ids.length > 0) found[path] = ids.sort();
  }
  return found;
}

interface Row {
  readonly id: string;
  readonly tests: readonly string[];
}

function inDocument(text: string): Record<string, readonly Row[]> {
  const sections = text.split('\n### `').slice(1);
  return Object.fromEntries(
    sections.map((section) => {
      const rows = [...section.matchAll(/^\| ([A-Z]{1,2}\d+) \| .+ \| (.+) \|$/gm)].map(([, id = '', cell = '']) => ({
        id,
        tests: [...cell.matchAll(/`([^`]+)`/g)].map(([, path = '']) => `test/${path}`),
      }));
      return [section.slice(0, section.indexOf('`')), rows];
    }),
  );
}

const text = repositoryFiles().find(({ path }) => path === 'docs/architecture.md')?.text ?? '';

describe('docs/architecture.md', () => {
  const listed = inDocument(text);

  test('lists the invariants of the source, no fewer and no more', () => {
    const ids = Object.entries(listed).map(([path, rows]) => [path, rows.map(({ id }) => id).sort()] as const);
    expect(Object.fromEntries(ids)).toEqual(inSource());
  });

  test('names a test for each, and the tests exist', () => {
    for (const [path, rows] of Object.entries(listed)) {
      for (const { id, tests } of rows) {
        expect(tests.length, `${path} ${id}`).toBeGreaterThan(0);
        expect(tests.filter((one) => !existsSync(join(ROOT, one)))).toEqual([]);
      }
    }
  });

  test('the reading of it can fail: a row lost and a row too many are seen', () => {
    const without = inDocument(text.replace(/^\| M3 .*\n/m, ''));
    expect(without['src/engine/model/decide.ts']).toHaveLength(8);
    expect(inDocument('x\n### `src/a.ts`\n\n| Z9 | text | `b.test.ts` |\n')).toEqual({
      'src/a.ts': [{ id: 'Z9', tests: ['test/b.test.ts'] }],
    });
  });
});
