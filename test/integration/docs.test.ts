/** Programs that stand in the docs do what the docs say. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type NatsKit, withNats } from '../kit/index.ts';

let kit: NatsKit;
beforeAll(async () => {
  kit = await withNats();
});
afterAll(() => kit?.stop());

test('docs/functions.md: the order is charged, approved, held, shipped, and the program ends by itself', async () => {
  const args = ['--import', 'tsx', join(import.meta.dirname, 'docs/functions.ts')];
  const env = { ...process.env, MILLRACE_NATS_URL: kit.url };
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env });
  try {
    const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    expect(said.trim().split('\n')).toEqual(['charged 40 for o-1, once under <run>/charge', 'o-1 shipped']);
    expect(code).toBe(0);
  } finally {
    child.kill('SIGKILL');
  }
});
