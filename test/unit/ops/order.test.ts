import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type GoProgram, provisionGoProgram } from '../../../ops/provision/gobinary.ts';
import type { GoPin } from '../../../ops/provision/pins.ts';
import { archiveName } from '../../../ops/provision/release.ts';
import { provisionRedis } from '../../../ops/provision/system.ts';
import { type Part, type Progress, SILENT } from '../../../ops/provision/types.ts';
import { type FileServer, startFileServer } from '../../kit/file-server.ts';

/** The ways a program can come, tried in order: PATH, cache, release archive, Go build, and the sentence when none is left. */

let dir: string;
let server: FileServer;
let base: string;
let files: FileServer['files'];
let built: number;
const PATH = process.env['PATH'] ?? '';

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-order-'));
  process.env['MILLRACE_CACHE'] = join(dir, 'cache');
  built = 0;
  server = await startFileServer();
  ({ base, files } = server);
});

afterEach(async () => {
  process.env['PATH'] = PATH;
  delete process.env['MILLRACE_CACHE'];
  await server.close();
  rmSync(dir, { recursive: true, force: true });
});

const pin = (): GoPin => ({
  version: '2.15.2',
  minimum: '2.14.6',
  module: 'example.test/fake',
  moduleSum: 'h1:none',
  release: base,
  archive: 'fake-2.15.2-{os}-{arch}.tar.gz',
  sums: 'SUMS',
  binary: 'fake-server',
});

const program = (): GoProgram => ({
  name: 'nats',
  pin: pin(),
  pathNames: ['fake-server'],
  versionArgs: ['-v'],
  goHint: 'building it',
  build: async () => {
    built++;
    throw new Error('no compiler in this test');
  },
  unavailable: 'Install it.',
});

const script = (version: string): string => `#!/bin/sh\necho "nats-server: v${version}"\n`;

function putOnPath(version: string): void {
  mkdirSync(join(dir, 'bin'), { recursive: true });
  writeFileSync(join(dir, 'bin', 'fake-server'), script(version), { mode: 0o755 });
  process.env['PATH'] = `${join(dir, 'bin')}:${PATH}`;
}

/** Publishes a real archive with its checksum; `tampered` changes the archive after the sum was taken. */
function publish(tampered = false): void {
  const archive = archiveName(pin(), process.platform, process.arch) ?? 'unsupported';
  const folder = archive.replace('.tar.gz', '');
  mkdirSync(join(dir, folder));
  writeFileSync(join(dir, folder, 'fake-server'), script('2.15.2'), { mode: 0o644 });
  spawnSync('tar', ['-czf', join(dir, archive), '-C', dir, folder]);
  const content = readFileSync(join(dir, archive));
  files.set('SUMS', Buffer.from(`${createHash('sha256').update(content).digest('hex')} *${archive}\n`));
  files.set(archive, tampered ? Buffer.concat([content, Buffer.from('x')]) : content);
}

async function provision(): Promise<{ part: Part; told: string[] }> {
  const told: string[] = [];
  const progress: Progress = { detail: (_part, sentence) => told.push(sentence), done: () => undefined };
  return { part: await provisionGoProgram(program(), progress), told };
}

describe('Redis', () => {
  it('is done without when it is neither on PATH nor to be had from Debian: the mode is named, and what to install', async () => {
    process.env['PATH'] = join(dir, 'empty');
    expect(await provisionRedis(SILENT)).toEqual({
      status: 'unavailable',
      name: 'redis',
      reason: expect.stringMatching(
        /queue runs in memory, so start one controller only\. .*apt-get install redis-server/,
      ),
    });
  });

  it('counts when it is new enough (the twin), not when it is too old', async () => {
    const put = (version: string): void => {
      mkdirSync(join(dir, 'bin'), { recursive: true });
      const text = `#!/bin/sh\necho "Redis server v=${version} sha=0"\n`;
      writeFileSync(join(dir, 'bin', 'redis-server'), text, { mode: 0o755 });
    };
    process.env['PATH'] = join(dir, 'bin');
    put('6.2.0');
    expect(await provisionRedis(SILENT)).toMatchObject({ status: 'available', source: 'path', version: '6.2.0' });
    put('6.0.16');
    expect(await provisionRedis(SILENT)).toMatchObject({ status: 'unavailable' });
  });
});

describe('a program that comes as release or from Go', () => {
  it('is taken from PATH when new enough', async () => {
    putOnPath('2.14.6');
    const { part } = await provision();
    expect(part).toMatchObject({ source: 'path', version: '2.14.6', command: join(dir, 'bin', 'fake-server') });
  });

  it('is passed over on PATH when too old, told why, and taken from the release, then from the cache', async () => {
    putOnPath('2.9.10');
    publish();
    const first = await provision();
    expect(first.part).toMatchObject({ source: 'release', version: '2.15.2' });
    expect(first.told).toEqual(['fake-server on PATH is 2.9.10; at least 2.14.6 is needed']);
    const command = first.part.status === 'available' ? first.part.command : '';
    expect(spawnSync(command, ['-v'], { encoding: 'utf8' }).stdout).toBe('nats-server: v2.15.2\n');
    files.clear();
    expect((await provision()).part).toMatchObject({ source: 'cached', command });
    expect(built).toBe(0);
  });

  it('is not replaced by another source when the release is not what it should be', async () => {
    publish(true);
    await expect(provision()).rejects.toMatchObject({ code: 'MR_CHECKSUM' });
    expect(built).toBe(0);
  });

  it('is unavailable, with what to do, when every way is closed', async () => {
    const { part, told } = await provision();
    expect(told[0]).toMatch(/^release archive not to be had: .*404; building it$/);
    expect(part).toMatchObject({ status: 'unavailable', reason: expect.stringMatching(/Install it\.$/) });
  });

  it('is worked on once when two ask at once', async () => {
    publish();
    const [first, second] = await Promise.all([provision(), provision()]);
    expect([first.part, second.part].map((part) => part.status === 'available' && part.source).sort()).toEqual([
      'cached',
      'release',
    ]);
  });
});
