import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { downloadVerified, findChecksum } from '../../../ops/lib/download.ts';
import { withLock } from '../../../ops/lib/lock.ts';
import { isAtLeast } from '../../../ops/lib/version.ts';
import { installAtomically } from '../../../ops/provision/cache.ts';
import { DEMO_PARTS } from '../../../ops/provision/index.ts';
import { PINS } from '../../../ops/provision/pins.ts';
import { archiveName } from '../../../ops/provision/release.ts';
import { type FileServer, startFileServer } from '../../kit/file-server.ts';

let dir: string;
let server: FileServer;
let base: string;
let files: FileServer['files'];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-ops-'));
  server = await startFileServer();
  ({ base, files } = server);
});

afterEach(async () => {
  delete process.env['MILLRACE_CACHE'];
  await server.close();
  rmSync(dir, { recursive: true, force: true });
});

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('downloadVerified', () => {
  it('keeps a file whose release vouches for it, in either format of the sums', async () => {
    files.set('a.tar.gz', 'content');
    for (const line of [`${sha256('content')}  a.tar.gz`, `${sha256('content')} *a.tar.gz`]) {
      files.set('SUMS', `${'0'.repeat(64)}  other\n${line}\n`);
      await downloadVerified(base, 'a.tar.gz', 'SUMS', join(dir, 'a'));
      expect(readFileSync(join(dir, 'a'), 'utf8')).toBe('content');
    }
  });

  it('refuses a file that is not what the release says and leaves nothing of it', async () => {
    files.set('a.tar.gz', 'tampered');
    files.set('SUMS', `${sha256('content')}  a.tar.gz\n`);
    const failed = downloadVerified(base, 'a.tar.gz', 'SUMS', join(dir, 'a'));
    await expect(failed).rejects.toMatchObject({ code: 'MR_CHECKSUM' });
    expect(readdirSync(dir)).toEqual([]);
  });

  it('refuses a file that the release does not list', async () => {
    files.set('a.tar.gz', 'content');
    files.set('SUMS', `${sha256('content')}  b.tar.gz\nnothex  a.tar.gz\n`);
    const failed = downloadVerified(base, 'a.tar.gz', 'SUMS', join(dir, 'a'));
    await expect(failed).rejects.toMatchObject({ code: 'MR_CHECKSUM' });
  });

  it('tells a missing file and a dead server apart from a wrong one', async () => {
    await expect(downloadVerified(base, 'a', 'SUMS', join(dir, 'a'))).rejects.toMatchObject({ code: 'MR_DOWNLOAD' });
    const dead = downloadVerified('http://127.0.0.1:1', 'a', 'SUMS', join(dir, 'a'));
    await expect(dead).rejects.toMatchObject({ code: 'MR_DOWNLOAD' });
  });

  it('does not take one name for the end of another', () => {
    expect(findChecksum(`${sha256('x')}  jaeger-tools.tar.gz`, 'tools.tar.gz')).toBeUndefined();
  });
});

describe('the cache', () => {
  it('gets a file only when its build went through', async () => {
    process.env['MILLRACE_CACHE'] = dir;
    const target = join(dir, 'tool-1.0.0', 'tool');
    const build = async (temp: string): Promise<string> => {
      writeFileSync(join(temp, 'made'), 'binary');
      return join(temp, 'made');
    };
    await expect(installAtomically(target, async () => Promise.reject(new Error('broke')))).rejects.toThrow('broke');
    expect(existsSync(target)).toBe(false);
    await installAtomically(target, build);
    expect(readFileSync(target, 'utf8')).toBe('binary');
    expect(readdirSync(dir)).toEqual(['tool-1.0.0']);
  });
});

describe('withLock', () => {
  it('lets one in at a time and passes the lock on after a failure', async () => {
    const path = join(dir, 'x.lock');
    let inside = 0;
    let most = 0;
    const work = async (fail: boolean): Promise<void> => {
      inside++;
      most = Math.max(most, inside);
      await nextTurn();
      inside--;
      if (fail) throw new Error('failed inside');
    };
    const results = await Promise.allSettled(
      [0, 1, 2, 3].map((i) => withLock(path, { waitMs: 10_000 }, () => work(i === 0))),
    );
    expect(results.map((one) => one.status).sort()).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected']);
    expect(most).toBe(1);
    expect(existsSync(path)).toBe(false);
  });

  it.each([
    ['a dead owner', JSON.stringify({ pid: process.pid, started: 'another life', token: 't' })],
    ['garbage', '{'],
  ])('takes over a lock left by %s', async (_what, content) => {
    const path = join(dir, 'x.lock');
    writeFileSync(path, content);
    expect(await withLock(path, { waitMs: 1_000 }, async () => 'mine')).toBe('mine');
  });

  it('gives up with a sentence that names the holder', async () => {
    const path = join(dir, 'x.lock');
    await withLock(path, { waitMs: 1_000 }, async () => {
      const second = withLock(path, { waitMs: 0 }, async () => undefined);
      await expect(second).rejects.toMatchObject({
        code: 'MR_LOCKED',
        message: expect.stringContaining(`${process.pid}`),
      });
    });
  });
});

describe('pins.json', () => {
  it('names an archive for each supported machine and none for others', () => {
    expect(archiveName(PINS.nats, 'linux', 'x64')).toBe(`nats-server-v${PINS.nats.version}-linux-amd64.tar.gz`);
    expect(archiveName(PINS.jaeger, 'darwin', 'arm64')).toBe(`jaeger-${PINS.jaeger.version}-darwin-arm64.tar.gz`);
    expect(archiveName(PINS.nats, 'win32', 'x64')).toBeUndefined();
    expect(archiveName(PINS.nats, 'linux', 's390x')).toBeUndefined();
  });

  it('says the same version in every place that names it', () => {
    for (const pin of [PINS.nats, PINS.jaeger]) {
      expect(pin.release.endsWith(`/v${pin.version}`)).toBe(true);
      expect(pin.archive).toContain(`${pin.version}-{os}-{arch}`);
    }
    expect(readFileSync('ops/jaeger/go.mod', 'utf8')).toContain(`${PINS.jaeger.module} v${PINS.jaeger.version}\n`);
    expect(readFileSync('ops/jaeger/go.sum', 'utf8')).toContain(`v${PINS.jaeger.version} ${PINS.jaeger.moduleSum}\n`);
    const lock = readFileSync(join('ops', PINS.prefect.lock), 'utf8');
    expect(lock).toContain(`\nprefect==${PINS.prefect.version} `);
    const compose = readFileSync('ops/compose.yaml', 'utf8');
    expect(compose).toContain(`nats:${PINS.nats.version}`);
    expect(compose).toContain(`all-in-one:${PINS.jaeger.version}`);
    expect(compose).toContain(`prefect:${PINS.prefect.version}-`);
  });

  it('builds the tools of the benchmarks from the module that it pins, and asks for them in no demo or test', () => {
    for (const pin of [PINS.natscli, PINS.temporal]) {
      expect(pin.package?.startsWith(`${pin.module}/`)).toBe(true);
      expect(pin.package?.split('/').at(-1)).toBe(pin.binary);
      expect(pin.moduleSum).toMatch(/^h1:[A-Za-z0-9+/]{43}=$/);
      expect(isAtLeast(pin.version, pin.minimum)).toBe(true);
    }
    expect(DEMO_PARTS).toEqual(['nats', 'redis', 'prefect', 'jaeger']);
  });

  it('pins every package of the lock with a hash', () => {
    const lock = readFileSync(join('ops', PINS.prefect.lock), 'utf8');
    const entries = lock.split(/\n(?=[a-z0-9])/i).filter((entry) => !entry.startsWith('#'));
    expect(entries.length).toBeGreaterThan(80);
    for (const entry of entries) expect(entry).toMatch(/^[\w.-]+(\[[\w,-]+\])?==\S+[\s\S]*--hash=sha256:[0-9a-f]{64}/);
  });
});
