import ts from 'typescript';
import { lineOf, type SourceFile, visit } from './files.ts';
import { isCode, isTest, type Rule } from './rule.ts';

/** Findings of a pattern, line by line. */
function grep(file: SourceFile, pattern: RegExp, say: (match: string) => string): string[] {
  return file.text.split('\n').flatMap((line, index) => {
    const match = pattern.exec(line);
    return match === null ? [] : [`${index + 1}: ${say(match[0])}`];
  });
}

export const noAny: Rule = {
  name: 'no-any',
  reason: '`any` switches the compiler off where it is needed most; use `unknown` and a schema',
  applies: isCode,
  check(file) {
    const found: string[] = [];
    visit(file, (node) => {
      if (node.kind === ts.SyntaxKind.AnyKeyword) found.push(`${lineOf(file, node)}: any`);
    });
    return found;
  },
  bad: { path: 'src/kernel/a.ts', text: 'export const a = 1 as any;\n' },
  good: { path: 'src/kernel/a.ts', text: 'export const any: unknown = 1; // any\n' },
};

const SILENCERS = ['@ts-' + 'ignore', '@ts-' + 'nocheck', '@ts-' + 'expect-error'];

export const noSilencers: Rule = {
  name: 'no-silencers',
  reason: 'a silenced compiler says nothing of the next mistake on that line either',
  applies: (path) => path.startsWith('src/') || path.startsWith('ops/'),
  check: (file) => grep(file, new RegExp(SILENCERS.join('|')), (match) => match),
  bad: { path: 'src/kernel/s.ts', text: `// ${SILENCERS[0]}\nexport const s: string = 1;\n` },
  good: { path: 'src/kernel/s.ts', text: '// ts is not ignored\nexport const s = 1;\n' },
};

const TIMERS = new Set(['setTimeout', 'setInterval', 'sleep', 'delay']);

export const noSleepInTests: Rule = {
  name: 'no-sleep-in-tests',
  reason: 'a test that waits for time is slow when the machine is fast and fails when it is slow; wait for the event',
  applies: isTest,
  check(file) {
    const found: string[] = [];
    visit(file, (node) => {
      // `setImmediate` gives others a turn; it waits for no time.
      if (ts.isImportDeclaration(node) && /timers\/promises/.test(node.moduleSpecifier.getText())) {
        if (/setTimeout|setInterval|scheduler/.test(node.importClause?.getText() ?? '')) {
          found.push(`${lineOf(file, node)}: imports timers`);
        }
      }
      if (ts.isCallExpression(node) && ts.isIdentifier(node.expression) && TIMERS.has(node.expression.text)) {
        found.push(`${lineOf(file, node)}: ${node.expression.text}()`);
      }
    });
    return found;
  },
  bad: { path: 'test/unit/s.test.ts', text: 'await new Promise((done) => setTimeout(done, 100));\n' },
  good: { path: 'test/unit/s.test.ts', text: 'await clock.advance(100);\n' },
};

export const noFocusedTests: Rule = {
  name: 'no-only-no-skip',
  reason:
    'a test that is switched off proves nothing and looks green; only browser tests may depend on what is installed',
  applies: (path) => isTest(path),
  check(file) {
    const words = file.path.startsWith('test/browser/') ? 'only' : 'only|skip|skipIf|runIf|todo';
    return grep(file, new RegExp(`\\b(test|it|describe)\\.(${words})\\b`), (match) => match);
  },
  bad: { path: 'test/unit/o.test.ts', text: `describe${'.'}skip('x', () => {});\n` },
  good: { path: 'test/unit/o.test.ts', text: "test.each([1])('only %i', () => {});\n" },
};

/** Spelled in parts, so that this file does not name them either. */
const HOSTS = [
  ['registry', 'npmjs', 'org'],
  ['registry', 'yarnpkg', 'com'],
  ['npm', 'pkg', 'github', 'com'],
  ['files', 'pythonhosted', 'org'],
  ['pypi', 'org'],
  ['proxy', 'golang', 'org'],
  ['deb', 'debian', 'org'],
].map((parts) => parts.join('\\.'));

export const noRegistryHosts: Rule = {
  name: 'no-registry-hosts',
  reason: 'which mirror packages come from is the setting of a machine, not of a repository',
  applies: () => true,
  check: (file) => grep(file, new RegExp(HOSTS.join('|')), (match) => `names the host ${match}`),
  bad: { path: '.npmrc', text: `registry=https://${['registry', 'npmjs', 'org'].join('.')}/\n` },
  good: { path: '.npmrc', text: 'fund=false\n' },
};

export const noResolved: Rule = {
  name: 'lock-names-no-host',
  reason: '`resolved` ties the lock to the mirror of whoever wrote it; integrity hashes are what pins a package',
  applies: (path) => path === 'package-lock.json',
  check: (file) => grep(file, /"resolved"/, () => '"resolved"').slice(0, 3),
  bad: { path: 'package-lock.json', text: '{\n  "resolved": "x"\n}\n' },
  good: { path: 'package-lock.json', text: '{\n  "integrity": "sha512-x"\n}\n' },
};

const MACHINE = new RegExp(
  `(^|["'\`\\s=:(])/(${['home', 'Users'].join('|')})/[a-z]|(^|["'\`\\s=:(])/(${['work', 'root'].join('|')})/`,
);

export const noMachinePaths: Rule = {
  name: 'no-machine-paths',
  reason: 'a path of one machine works on that machine only',
  applies: (path) => path !== 'test/kit/tidy/words.ts',
  check: (file) => grep(file, MACHINE, (match) => `names ${match.trim()}…`),
  bad: { path: 'ops/x.ts', text: "export const cache = '/home/someone/cache';\n" },
  good: { path: 'ops/x.ts', text: "export const url = 'http://127.0.0.1:4200/work_pools/default';\n" },
};

export const noLeftovers: Rule = {
  name: 'no-leftovers',
  reason: 'what is not done belongs into an issue, where somebody will see it',
  applies: (path) => isCode(path) || path.endsWith('.py'),
  check: (file) =>
    grep(file, new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`), (match) => match),
  bad: { path: 'src/kernel/t.ts', text: `// ${'TO' + 'DO'} later\n` },
  good: { path: 'src/kernel/t.ts', text: '// what is to do is done\n' },
};
