/** Processes that are kept beside the servers: recorded, reused, replaced, stopped. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { down, endedProcesses, freePort, type KeptProcess, keepProcess } from '../../ops/stack/index.ts';
import { readState } from '../../ops/stack/state.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-processes-'));
});
afterAll(async () => {
  await down(dir);
  rmSync(dir, { recursive: true, force: true });
});

/** A process that serves its pid. */
const PROGRAM = `
  const { createServer } = require('node:http');
  createServer((_, response) => response.end(String(process.pid))).listen(Number(process.env.PORT), '127.0.0.1');
`;

async function keep(name: string, version: string, program = PROGRAM): Promise<KeptProcess & { readonly pid: string }> {
  const port = await freePort();
  const kept = await keepProcess(dir, {
    ...{ name, version, dir, command: process.execPath, args: ['-e', program], env: { PORT: String(port) } },
    readyUrl: `http://127.0.0.1:${port}/`,
  });
  return { ...kept, pid: await (await fetch(kept.readyUrl)).text() };
}

const isAlive = (pid: string): boolean => {
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch {
    return false;
  }
};

it('given a process that runs: it is reused; one of another version is replaced; down stops what is there', async () => {
  const first = await keep('one', 'v1');
  const again = await keep('one', 'v1');
  expect([first.reused, again.reused, again.pid === first.pid]).toEqual([false, true, true]);
  const newer = await keep('one', 'v2');
  expect([newer.reused, isAlive(first.pid), isAlive(newer.pid)]).toEqual([false, false, true]);
  const other = await keep('two', 'v2');
  expect(endedProcesses(dir)).toEqual([]);
  expect((await down(dir)).sort()).toEqual(['one', 'two']);
  expect([isAlive(newer.pid), isAlive(other.pid)]).toEqual([false, false]);
  expect(readState(dir)).toEqual({ format: 1, parts: {} });
});

it('given a process that ends while starting: recorded before, so nothing is lost, and told', async () => {
  await expect(keep('broken', 'v1', 'process.exit(3)')).rejects.toMatchObject({ code: 'MR_SERVER_START' });
  expect(endedProcesses(dir).map(({ name }) => name)).toEqual(['broken']);
  expect(await down(dir)).toEqual([]);
});
