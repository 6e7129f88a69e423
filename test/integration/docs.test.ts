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

/** What the program says, once it has ended by itself. */
async function said(program: string): Promise<readonly string[]> {
  const args = ['--import', 'tsx', join(import.meta.dirname, 'docs', program)];
  const env = { ...process.env, MILLRACE_NATS_URL: kit.url };
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env });
  try {
    const [lines, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    expect(code).toBe(0);
    return lines.trim().split('\n');
  } finally {
    child.kill('SIGKILL');
  }
}

test('docs/functions.md: the order is charged, approved, held, shipped, and the program ends by itself', async () => {
  expect(await said('functions.ts')).toEqual(['charged 40 for o-1, once under <run>/charge', 'o-1 shipped']);
});

test('docs/functions.md: prices are looked up, each item is billed by a run of its own', async () => {
  const lines = await said('functions-children.ts');
  expect(lines.map((line) => line.slice(line.indexOf(' ') + 1)).sort()).toEqual(['bolt 4', 'nut 3', 'summary 7']);
});

test('docs/functions.md: a copy goes on where its attempt before got to, a payment pauses until it is resumed', async () => {
  const rows = [0, 1, 2, 3, 4].map((row) => `copied ${row}`);
  expect(await said('functions-steps.ts')).toEqual([...rows, '{"copy":5,"receipt":"paid"}']);
});

test('docs/sdk.md: one worker, one client, types from schemas', async () => {
  expect(await said('sdk.ts')).toEqual([
    '4200 cents paid once under <run>/payments.charge, approved by ada',
    'completed: payments.charge, signal:approved',
  ]);
});
