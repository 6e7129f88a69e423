/** docs/features.md: one row per point and side, and nothing named that is not there. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const PAGE = 'docs/features.md';
const text = readFileSync(PAGE, 'utf8');

interface Row {
  readonly what: string;
  readonly status: string;
  readonly tests: string;
  readonly shown: string;
  readonly missing: string;
}

/** The cells of every row of the page's tables, without their heads. A bar inside code is escaped. */
function rowsOf(page: string): readonly Row[] {
  const cells = page
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  return cells.flatMap((row) => {
    const [what = '', side = '', status = '', , tests = '', shown = '', missing = ''] = row;
    if (row.length === 7 && what !== 'point') return [{ what: `${what} / ${side}`, status, tests, shown, missing }];
    const [name = '', state = '', proof = '', page = '', left = ''] = row;
    return row.length === 5 && name !== 'what'
      ? [{ what: name, status: state, tests: proof, shown: page, missing: left }]
      : [];
  });
}

/** A heading's anchor, as the forges make it. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

function anchorsOf(file: string): readonly string[] {
  const prose = readFileSync(file, 'utf8').replace(/^```[\s\S]*?^```/gm, '');
  return [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading));
}

function problemsOf(row: Row): readonly string[] {
  const found: string[] = [];
  const tests = [...row.tests.matchAll(/`([^`]+)`/g)].map(([, path = '']) => `test/${path}`);
  const links = [...row.shown.matchAll(/\]\(([^)#]+)(?:#([^)]+))?\)/g)];
  if (!['done', 'partly', 'not done'].includes(row.status)) found.push(`no status is "${row.status}"`);
  if ((row.status === 'done') !== (row.missing === '')) found.push('"done" leaves nothing over, the others say what');
  if (row.status !== 'not done' && (tests.length === 0 || links.length === 0)) found.push('names no test or no page');
  found.push(...tests.filter((path) => !existsSync(path)).map((path) => `there is no ${path}`));
  for (const [, page = '', anchor] of links) {
    const file = new URL(page, `file:///docs/`).pathname.slice(1);
    if (!existsSync(file)) found.push(`there is no ${file}`);
    else if (anchor !== undefined && !anchorsOf(file).includes(anchor)) found.push(`${file} has no #${anchor}`);
  }
  return found.map((problem) => `${row.what}: ${problem}`);
}

describe(PAGE, () => {
  test('has each of the 16 points for both sides, once', () => {
    const points = rowsOf(text).flatMap(({ what }) => /^(\d+) .* \/ (\w+)$/.exec(what)?.slice(1, 3).join(' ') ?? []);
    const wanted = Array.from({ length: 16 }, (_, index) => [`${index + 1} declared`, `${index + 1} functions`]).flat();
    expect(points).toEqual(wanted);
  });

  test('names tests, pages and headings that exist', () => {
    expect(rowsOf(text).length).toBeGreaterThan(32);
    expect(rowsOf(text).flatMap(problemsOf)).toEqual([]);
  });

  test('the reading of it can fail', () => {
    const row = {
      what: 'x',
      status: 'done',
      tests: '`no.test.ts`',
      shown: '[a](cli.md#none), [b](no.md)',
      missing: '',
    };
    expect(problemsOf(row)).toEqual([
      'x: there is no test/no.test.ts',
      'x: docs/cli.md has no #none',
      'x: there is no docs/no.md',
    ]);
    expect(problemsOf({ ...row, status: 'partly', tests: '', shown: '' })).toHaveLength(2);
  });
});
