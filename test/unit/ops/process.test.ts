import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { identityOf, isSameProcess } from '../../../ops/lib/identity.ts';
import { down, freePort, isPortFree, type ServerHandle, startProcess, status } from '../../../ops/stack/index.ts';

let dir: string;
const handles: ServerHandle[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-ops-'));
});

afterEach(async () => {
  for (const handle of handles.splice(0)) await handle.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function node(
  name: string,
  script: string,
  more: { readyUrl?: string; timeoutMs?: number } = {},
): Promise<ServerHandle> {
  const handle = await startProcess({
    name,
    command: process.execPath,
    args: ['-e', script],
    dir,
    readyTimeoutMs: more.timeoutMs ?? 10_000,
    stopTimeoutMs: 1_000,
    ...(more.readyUrl === undefined ? {} : { readyUrl: more.readyUrl }),
  });
  handles.push(handle);
  return handle;
}

const server = (port: number): string =>
  `require('node:http').createServer((q, s) => s.end('ok')).listen(${port}, '127.0.0.1'); console.log('life', process.pid)`;

describe('the guard against reused process ids', () => {
  it('knows a process from another that bears its number', () => {
    const self = identityOf(process.pid);
    expect(self).toBeDefined();
    expect(self !== undefined && isSameProcess(self)).toBe(true);
    expect(isSameProcess({ pid: process.pid, started: 'some other start' })).toBe(false);
    expect(identityOf(2 ** 30)).toBeUndefined();
  });

  it('lets down pass over a recorded id that now names a stranger', async () => {
    const stranger = spawn('sleep', ['30']);
    await once(stranger, 'spawn');
    const part = {
      pid: stranger.pid,
      started: 'long ago',
      url: 'nats://x',
      ports: { client: 1 },
      env: {},
      logFile: 'l',
    };
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'stack.json'), JSON.stringify({ format: 1, parts: { nats: part } }));
    expect(status(dir).some((one) => one.running)).toBe(false);
    expect(await down(dir)).toEqual([]);
    expect(stranger.exitCode).toBeNull();
    expect(identityOf(stranger.pid ?? 0)).toBeDefined();
    stranger.kill('SIGKILL');
  });

  it('makes of a broken record an empty one', () => {
    writeFileSync(join(dir, 'stack.json'), '{"format": 1, "par');
    expect(status(dir).some((one) => one.running)).toBe(false);
  });
});

describe('ports', () => {
  it('are free when given and never given twice', async () => {
    const ports = await Promise.all(Array.from({ length: 20 }, () => freePort()));
    expect(new Set(ports).size).toBe(20);
    for (const port of ports) expect(await isPortFree(port)).toBe(true);
  });

  it('in use make an error that names the port and what to do, and start nothing', async () => {
    const port = await freePort();
    const holder = createServer().listen(port, '127.0.0.1');
    await once(holder, 'listening');
    const failed = node('late', server(port), { readyUrl: `http://127.0.0.1:${port}/` });
    const sentence = `late cannot listen on port ${port}: another process does. End that process, or choose another port.`;
    await expect(failed).rejects.toMatchObject({ code: 'MR_PORT_IN_USE', message: sentence });
    holder.close();
  });
});

describe('a started process', () => {
  it('is ready when it answers, dies by kill, and comes back on the same port with a new id', async () => {
    const port = await freePort();
    const handle = await node('web', server(port), { readyUrl: `http://127.0.0.1:${port}/` });
    const first = handle.pid;
    const restarted: number[] = [];
    handle.onRestart(() => restarted.push(handle.pid));
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('ok');
    await handle.kill();
    expect(handle.alive()).toBe(false);
    await handle.restart();
    expect(handle.pid).not.toBe(first);
    expect(restarted).toEqual([handle.pid]);
    expect(readFileSync(handle.logFile, 'utf8')).toBe(`life ${first}\nlife ${handle.pid}\n`);
    await handle.stop();
    expect(await isPortFree(port)).toBe(true);
  });

  it('that ends while starting fails with its last words, and only those of this life', async () => {
    const port = await freePort();
    const readyUrl = `http://127.0.0.1:${port}/`;
    await expect(node('bad', `console.error('first life'); process.exit(3)`, { readyUrl })).rejects.toThrow(
      'first life',
    );
    const second = await node('bad', `console.error('second life'); process.exit(3)`, { readyUrl }).catch(
      (e: Error) => e,
    );
    expect(second).toMatchObject({ code: 'MR_SERVER_START' });
    expect(String(second)).toContain('exit code 3');
    expect(String(second)).toContain('second life');
    expect(String(second)).not.toContain('first life');
  });

  it('that never serves is ended and reported', async () => {
    const port = await freePort();
    const script = `console.log('pid', process.pid); setInterval(() => {}, 1000)`;
    const failed = node('mute', script, { readyUrl: `http://127.0.0.1:${port}/`, timeoutMs: 400 });
    await expect(failed).rejects.toMatchObject({ code: 'MR_SERVER_START' });
    const pid = Number(/pid (\d+)/.exec(readFileSync(join(dir, 'mute.log'), 'utf8'))?.[1]);
    expect(identityOf(pid)).toBeUndefined();
  });

  it('that ignores SIGTERM is ended all the same, with the children it leaves', async () => {
    const port = await freePort();
    const child = `require('node:child_process').spawn('sleep', ['60'])`;
    const script = `process.on('SIGTERM', () => {}); console.log(${child}.pid); ${server(port)}`;
    const handle = await node('stubborn', script, { readyUrl: `http://127.0.0.1:${port}/` });
    const grandchild = Number(readFileSync(handle.logFile, 'utf8').split('\n')[0]);
    expect(identityOf(grandchild)).toBeDefined();
    await handle.stop();
    expect(handle.alive()).toBe(false);
    await expect.poll(() => identityOf(grandchild)).toBeUndefined();
  });

  it('dies with the process that started it, even by kill -9', async () => {
    const port = await freePort();
    const script = `import { startProcess } from '${join(process.cwd(), 'ops/stack/index.ts')}';
      const script = ${JSON.stringify(server(port))};
      startProcess({ name: 'inner', command: process.execPath, args: ['-e', script], dir: ${JSON.stringify(dir)},
        readyUrl: 'http://127.0.0.1:${port}/' }).then(() => console.log('up'));`;
    const file = join(dir, 'parent.mts');
    writeFileSync(file, script);
    const parent = spawn(process.execPath, ['--import', 'tsx', file], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(parent.stdout, 'data');
    expect(await isPortFree(port)).toBe(false);
    // Only Linux lets a child follow a parent that had no time to say goodbye.
    parent.kill(process.platform === 'linux' ? 'SIGKILL' : 'SIGTERM');
    await expect.poll(() => isPortFree(port), { timeout: 5_000 }).toBe(true);
  });
});
