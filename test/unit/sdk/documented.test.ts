/** Whoever looks at a symbol in an editor sees what it is: every public one has a sentence where it is declared. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { undocumented } from '../../kit/tidy/documented.ts';

const read = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);

describe('the public symbols', () => {
  test.each(['src/index.ts', 'src/testing/index.ts'])('of %s are documented', (entry) => {
    expect(undocumented(entry, read)).toEqual([]);
  });

  test('are followed to where they are declared', () => {
    const files: Record<string, string> = {
      'src/index.ts': "export { a, type B, c as d } from './in/index.ts';\nexport { gone } from './in/index.ts';\n",
      'src/in/index.ts': "export { a } from './a.ts';\nexport * from './b.ts';\nexport { c } from './a.ts';\n",
      'src/in/a.ts':
        '/** Says. */\nexport function a(n: 1): 1;\nexport function a(n: 2): 2 {}\n\n// not this\nexport const c = 1;\n',
      'src/in/b.ts': 'export interface B {}\n',
    };
    expect(undocumented('src/index.ts', (path) => files[path])).toEqual([
      'src/in/b.ts: B has no sentence',
      'src/in/a.ts: c has no sentence',
      'src/in/index.ts: gone is not declared',
    ]);
  });
});
