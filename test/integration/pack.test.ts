/** What a user gets: the packed package, installed somewhere else, run and compiled against. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROOT } from '../kit/tidy/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-pack-'));
const user = join(folder, 'user');
const PACKED = [
  'src',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'LICENSE',
  'README.md',
  'CHANGELOG.md',
  'ops/prefect',
  '.npmrc',
];
let files: readonly string[] = [];

function run(cwd: string, command: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
  return { status, stdout, stderr };
}

function must(cwd: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr } = run(cwd, command, ...args);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} gave ${status}\n${stdout}\n${stderr}`);
  return stdout;
}

/** Compiles a file of the user's with the strictest settings. */
function compile(name: string, text: string, ...more: string[]) {
  writeFileSync(join(user, name), text);
  const settings = ['--strict', '--noEmit', '--module', 'NodeNext', '--target', 'ES2022', '--types', 'node'];
  return run(user, process.execPath, join(ROOT, 'node_modules/typescript/bin/tsc'), ...settings, ...more, name);
}

describe('the package', () => {
  beforeAll(() => {
    // A copy, so that nothing left over in dist/ gets into the package and nobody's dist/ is touched.
    const source = join(folder, 'source');
    for (const path of PACKED) cpSync(join(ROOT, path), join(source, path), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(source, 'node_modules'));
    must(source, 'npm', 'pack', '--silent', '--pack-destination', folder);
    const [tarball = ''] = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
    files = must(folder, 'tar', 'tzf', tarball)
      .trim()
      .split('\n')
      .map((path) => path.replace(/^package\//, ''));
    mkdirSync(user);
    writeFileSync(join(user, 'package.json'), '{ "name": "user", "private": true, "type": "module" }\n');
    must(user, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, tarball));
    mkdirSync(join(user, 'node_modules/@types'), { recursive: true });
    // The user's own types of Node; no package of ours.
    for (const name of ['@types/node', 'undici-types']) {
      cpSync(join(ROOT, 'node_modules', name), join(user, 'node_modules', name), { recursive: true });
    }
  }, 180_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('holds what a user needs and nothing else', () => {
    const allowed =
      /^(dist\/.+\.(js|d\.ts)|ops\/prefect\/(host|prefect_nats|millrace_prefect)\/(\w+\.py|pyproject\.toml)|ops\/prefect\/requirements\.lock|package\.json|LICENSE|README\.md|CHANGELOG\.md)$/;
    expect(files.filter((path) => !allowed.test(path))).toEqual([]);
    expect(files).toEqual(
      expect.arrayContaining([
        'dist/index.js',
        'dist/index.d.ts',
        'dist/cli/main.js',
        // Steps in Prefect need the flow host, which is Python.
        'ops/prefect/host/__main__.py',
        'ops/prefect/requirements.lock',
        // Prefect's bus on JetStream, and messages inside of flows.
        'ops/prefect/prefect_nats/messaging.py',
        'ops/prefect/millrace_prefect/operations.py',
        'LICENSE',
        'README.md',
        'CHANGELOG.md',
      ]),
    );
    const sources = new Set(
      readdirSync(join(ROOT, 'src'), { recursive: true }).map((path) => `dist/${String(path).replace(/\.ts$/, '')}`),
    );
    const strange = files.filter((path) => path.startsWith('dist/') && !sources.has(path.replace(/\.(d\.ts|js)$/, '')));
    expect(strange, 'built from nothing in src/').toEqual([]);
  });

  test('brings no development tools along', () => {
    const installed = readdirSync(join(user, 'node_modules'));
    expect(installed).toEqual(expect.arrayContaining(['millrace', 'zod']));
    for (const tool of ['vitest', 'typescript', 'tsx', 'dependency-cruiser', 'fast-check'])
      expect(installed).not.toContain(tool);
  });

  test('has a bin that says its version and helps', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(must(user, 'npx', '--no-install', 'millrace', '--version').trim()).toContain(version);
    const help = must(user, 'npx', '--no-install', 'millrace', '--help');
    for (const command of ['validate', 'plan', 'apply', 'runs', 'replay', 'doctor']) expect(help).toContain(command);
    expect(run(user, 'npx', '--no-install', 'millrace', 'dance').status).not.toBe(0);
  });

  test('can be imported at run time', () => {
    const names = must(
      user,
      process.execPath,
      '--eval',
      "import('millrace').then((m) => console.log(Object.keys(m).join()))",
    );
    expect(names.trim().split(',')).toEqual(
      expect.arrayContaining(['connectNats', 'createTelemetry', 'createWorker', 'MillraceError', 'NonRetryableError']),
    );
  });

  test('has the test kit as an entry of its own', () => {
    const names = must(
      user,
      process.execPath,
      '--eval',
      "import('millrace/testing').then((m) => console.log(Object.keys(m).join()))",
    );
    expect(names.trim().split(',')).toEqual(expect.arrayContaining(['testEnvironment', 'assertReplays', 'given']));
  });

  test('cannot be imported by its insides', () => {
    expect(run(user, process.execPath, '--eval', "import('millrace/dist/engine/index.js')").status).not.toBe(0);
  });

  test('has types that compile under strict settings', () => {
    const { status, stdout } = compile(
      'good.ts',
      "import { isMillraceError, type Json, MillraceError } from 'millrace';\n" +
        "const value: Json = { a: [1, 'x', null] };\n" +
        "export const code: string = new MillraceError('MR_USAGE', JSON.stringify(value)).code;\n" +
        'export const known: boolean = isMillraceError(value);\n',
    );
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  test('has types that refuse what is wrong', () => {
    const { status, stdout } = compile(
      'bad.ts',
      "import { MillraceError } from 'millrace';\nnew MillraceError('MR_NOPE', 'm');\n",
      '--skipLibCheck', // what is checked here is the user's line
    );
    expect(status).not.toBe(0);
    expect(stdout).toContain('MR_NOPE');
  });
});
