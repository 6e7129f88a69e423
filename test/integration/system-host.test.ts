/** The host of a system as whoever measures it meets it: real processes, systems that do as little as can be. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openHost } from '../../bench/systems/client.ts';
import { NULL_SYSTEM, type RegisteredSystem } from '../../bench/systems/registry.ts';
import { startMark } from '../../ops/lib/identity.ts';

const isAlive = (pid: number): boolean => startMark(pid) !== undefined;

let dir = '';

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-host-test-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A system as a module of its own; `rest` is code that overrides what it does. */
function moduleOf(name: string, rest: string): RegisteredSystem {
  const file = join(dir, `${name}.mjs`);
  writeFileSync(
    file,
    `import { spawn } from 'node:child_process';
    export const start = async (options) => {
      const server = spawn('sleep', ['300'], { stdio: 'ignore', detached: true });
      return {
        name: '${name}', version: String(server.pid), durability: options.dir, serverPids: [server.pid],
        run: async (steps) => { await new Promise((resolve) => setTimeout(resolve, 20)); return steps; },
        stop: async () => { server.kill(); },
        ${rest}
      };
    };`,
  );
  return { name, module: pathToFileURL(file).href };
}

describe('a host', () => {
  test('measures, tells what its system is, and leaves nothing behind', async () => {
    const host = await openHost(moduleOf('plain', ''), 'lazy');
    const [server, data] = [Number(host.version), host.durability];
    expect(host.can).toEqual({ fanOut: false, sleep: false, signal: false });
    expect(readdirSync(data)).toEqual([]);
    expect(isAlive(server)).toBe(true);
    const alone = await host.alone({ steps: 3, count: 10 });
    // 20 ms by the timer of the event loop, which may be one early by its own rounding.
    expect(alone.p50Ms).toBeGreaterThanOrEqual(19);
    expect(alone.runs).toBe(10);
    await host.stop();
    await host.stop();
    expect(isAlive(server)).toBe(false);
    expect(() => readdirSync(data)).toThrow('ENOENT');
  });

  test('its system is named by the registry', async () => {
    const host = await openHost('null', 'always');
    try {
      const load = await host.saturated({ steps: 3, atOnce: 8, seconds: 0.2, warmSeconds: 0.1 });
      expect(load.runs).toBeGreaterThan(100);
      expect((await host.openLoop({ steps: 1, perSecond: 200, seconds: 0.5, warmSeconds: 0.1 })).runs).toBeGreaterThan(
        50,
      );
    } finally {
      await host.stop();
    }
  });

  test('a failed measurement ends it with its servers and says why', async () => {
    const host = await openHost(moduleOf('failing', `run: async () => { throw new Error('out of order'); },`), 'lazy');
    const server = Number(host.version);
    await expect(host.alone({ steps: 1, count: 1 })).rejects.toThrow(/failing: alone failed: Error: out of order/);
    expect(isAlive(server)).toBe(false);
    await expect(host.alone({ steps: 1, count: 1 })).rejects.toThrow('has been stopped');
  });

  test('one that hangs is ended when its time is over', async () => {
    const hanging = moduleOf('hanging', 'run: () => new Promise(() => undefined),');
    const host = await openHost(hanging, 'lazy', { timeoutMs: 5_000 });
    const server = Number(host.version);
    await expect(host.alone({ steps: 1, count: 1 })).rejects.toThrow('hanging: alone took over 5000 ms');
    expect(isAlive(server)).toBe(false);
  });

  test('one that dies is told at once, with its last words, and takes its servers with it', async () => {
    const dying = moduleOf('dying', `run: () => { console.error('my last words'); process.exit(3); },`);
    const host = await openHost(dying, 'lazy');
    const server = Number(host.version);
    await expect(host.alone({ steps: 1, count: 1 })).rejects.toThrow(
      /the host of dying ended \(exit code 3\); it said:\nmy last words/,
    );
    expect(isAlive(server)).toBe(false);
  });

  test('what cannot be had is a sentence', async () => {
    const missing = { ...NULL_SYSTEM, provision: async () => 'there is no such thing' };
    await expect(openHost(missing, 'lazy')).rejects.toThrow('null is not to be had here: there is no such thing');
  });
});
