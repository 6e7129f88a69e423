/**
 * Code of the docs is taken from programs that tests run: `<!-- snippet: <file>#<name> -->` above a block names the lines
 * between `// snippet: <name>` and `// end` of that file. `UPDATE=1 npx vitest run test/unit/docs/snippets.test.ts` writes them anew.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const PAGES = ['docs/functions.md', 'docs/sdk.md', 'docs/testing.md'];
const BLOCK = /(<!-- snippet: (\S+)#(\S+) -->\n)?```ts\n([\s\S]*?)```/g;

/** The lines between the marks, importing the package by its name. */
function snippet(file: string, name: string): string {
  const [, rest] = readFileSync(file, 'utf8').split(`// snippet: ${name}\n`);
  const [lines, after] = (rest ?? '').split('// end\n');
  if (lines === undefined || after === undefined) throw new Error(`${file} has no snippet "${name}"`);
  const indent = / *$/.exec(lines)?.[0] ?? '';
  return lines
    .slice(0, lines.length - indent.length)
    .replaceAll(new RegExp(`^${indent}`, 'gm'), '')
    .replace(/'(\.\.\/)+src\/index\.ts'/g, "'millrace'")
    .replace(/'(\.\.\/)+src\/testing\/index\.ts'/g, "'millrace/testing'");
}

describe.each(PAGES)('%s', (page) => {
  const text = readFileSync(page, 'utf8');
  const blocks = [...text.matchAll(BLOCK)];

  test('takes all its code from programs', () => {
    expect(blocks.length).toBeGreaterThan(0);
    expect(blocks.filter(([, mark]) => mark === undefined).map(([block]) => block)).toEqual([]);
  });

  test('shows them as they are', () => {
    const fresh = text.replace(BLOCK, (block, mark?: string, file = '', name = '') =>
      mark === undefined ? block : `${mark}\`\`\`ts\n${snippet(file, name)}\`\`\``,
    );
    if (process.env['UPDATE'] === '1') writeFileSync(page, fresh);
    else expect(text, 'stale: run it again with UPDATE=1').toBe(fresh);
  });
});
