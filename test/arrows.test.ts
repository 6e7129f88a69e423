/** Proves that every rule of .dependency-cruiser.cjs can fail, on a small tree that breaks all of them. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROOT } from './kit/tidy/index.ts';

interface Rule {
  readonly name: string;
  readonly comment: string;
}
const config: { forbidden: readonly Rule[] } = createRequire(import.meta.url)('../.dependency-cruiser.cjs');

/** Files that break one rule each; the rule's name is the key. */
const BREAKS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'no-cycle': {
    'src/kernel/a.ts': "import './b.ts';\nexport const a = 1;",
    'src/kernel/b.ts': "import './a.ts';\nexport const b = 1;",
  },
  'no-orphan': { 'src/kernel/lonely.ts': 'export const lonely = 1;' },
  'not-to-unresolvable': { 'src/kernel/c.ts': "import './nowhere.ts';" },
  'model-is-pure': { 'src/engine/model/fs.ts': "import 'node:fs';" },
  'model-by-its-index': { 'src/engine/run/d.ts': "import '../model/fs.ts';" },
  'only-by-index': { 'src/engine/e.ts': "import '../kernel/a.ts';" },
  'src-stands-alone': { 'src/kernel/f.ts': "import '../../test/kit.ts';", 'test/kit.ts': 'export const kit = 1;' },
  'no-dev-dependency-in-src': { 'src/kernel/g.ts': "import 'for-development';" },
  'no-undeclared-dependency': { 'src/kernel/h.ts': "import 'by-accident';" },
  'arrow-kernel': { 'src/kernel/i.ts': "import '../drivers/index.ts';", 'src/drivers/index.ts': 'export const d = 1;' },
  'arrow-drivers-telemetry': {
    'src/drivers/j.ts': "import '../engine/index.ts';",
    'src/engine/index.ts': 'export const e = 1;',
  },
  'arrow-engine': { 'src/engine/k.ts': "import '../worker/index.ts';", 'src/worker/index.ts': 'export const w = 1;' },
  'arrow-schedules': {
    'src/schedules/q.ts': "import '../replay/fine.ts';",
  },
  'arrow-limits': {
    'src/limits/q.ts': "import '../manifests/index.ts';",
    'src/manifests/index.ts': 'export const m = 1;',
  },
  'arrow-manifests-worker-bridge-replay-storage-identity-audit': {
    'src/replay/l.ts': "import '../bridge/index.ts';",
    'src/bridge/index.ts': 'export const b = 1;',
  },
  'arrow-functions': {
    'src/functions/o.ts': "import '../cli/index.ts';",
    'src/cli/index.ts': 'export const c = 1;',
  },
  'arrow-sdk-testing': {
    'src/testing/p.ts': "import '../cli/index.ts';",
  },
  'arrow-agents-console-cli': {
    'src/cli/m.ts': "import '../app/index.ts';",
    'src/app/index.ts': 'export const a = 1;',
  },
  'arrow-app': { 'src/app/n.ts': "import '../elsewhere/index.ts';", 'src/elsewhere/index.ts': 'export const x = 1;' },
};

/** Lets through: an arrow inwards by an index, and the bin that starts app. */
const FINE = {
  'src/replay/fine.ts': "import '../engine/index.ts';",
  'src/cli/main.ts': "import '../app/index.ts';",
  'src/cli/fine.ts': "import '../replay/index.ts';",
  'src/replay/index.ts': "import './fine.ts';",
};

const OTHER = {
  'package.json': JSON.stringify({ type: 'module', dependencies: {}, devDependencies: { 'for-development': '1.0.0' } }),
  'tsconfig.json': JSON.stringify({
    compilerOptions: { module: 'NodeNext', allowImportingTsExtensions: true, noEmit: true },
  }),
  'node_modules/for-development/package.json': JSON.stringify({
    name: 'for-development',
    version: '1.0.0',
    main: 'i.js',
  }),
  'node_modules/for-development/i.js': '',
  'node_modules/by-accident/package.json': JSON.stringify({ name: 'by-accident', version: '1.0.0', main: 'i.js' }),
  'node_modules/by-accident/i.js': '',
};

interface Violation {
  readonly from: string;
  readonly rule: { readonly name: string };
}

describe('the arrows', () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-arrows-'));
  let violations: readonly Violation[] = [];

  beforeAll(() => {
    for (const [path, text] of [FINE, OTHER, ...Object.values(BREAKS)].flatMap((files) => Object.entries(files))) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), `${text}\n`);
    }
    const tool = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
    const args = [tool, 'src', '--config', join(ROOT, '.dependency-cruiser.cjs'), '--output-type', 'json'];
    const { stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8', maxBuffer: 1e8 });
    violations = JSON.parse(stdout).summary.violations;
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test.each(config.forbidden)('$name can fail, and says why it is there', ({ name, comment }) => {
    const mine = Object.keys(BREAKS[name] ?? {});
    expect(violations.filter(({ rule }) => rule.name === name).map(({ from }) => from)).toEqual(
      expect.arrayContaining(mine.slice(0, 1)),
    );
    expect(mine.length).toBeGreaterThan(0);
    expect(comment.length).toBeGreaterThan(20);
  });

  test('what points inwards passes', () => {
    const fine = Object.keys(FINE);
    expect(violations.filter(({ from, rule }) => fine.includes(from) && rule.name !== 'no-orphan')).toEqual([]);
  });
});
