/** `millrace replay check`: real histories of a live system against new code. */
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { client, worker } from '../../src/index.ts';
import { define, type NatsKit, waitFor, withNats, workerStep } from '../kit/index.ts';
import { workflows } from '../kit/replay-module.ts';
import { runCli } from '../kit/system.ts';
import { writeRun } from './cli-kit.ts';

const MODULE = 'test/kit/replay-module.ts';
const chain = define('check-chain', [workerStep('a'), workerStep('b', ['a'])]);

let kit: NatsKit;
let folder: string;
beforeAll(async () => {
  kit = await withNats();
  folder = await mkdtemp(join(tmpdir(), 'millrace-check-'));
  await kit.prepare([chain]);
  const running = await worker({ url: kit.url, workflows, handleSignals: false });
  const millrace = await client({ url: kit.url });
  const ended = await millrace.start('check-order', null, { runId: 'ended' });
  await ended.signal('go', 1);
  await ended.result();
  const open = await millrace.start('check-order', null, { runId: 'open' });
  await waitFor('the wait', async () => (await open.state().catch(() => undefined))?.suspended);
  await millrace.close();
  await running.drain();
  const succeeded = { v: 1, kind: 'task.succeeded', step: 'a', attempt: 1, output: 1 } as const;
  const start = { v: 1, kind: 'start', digest: chain.digest, payload: null } as const;
  await writeRun(await kit.door(), chain, 'half', [start, succeeded]);
});
afterAll(async () => {
  await kit?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function check(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { code, stdout, stderr } = await runCli(['replay', 'check', ...args], { MILLRACE_NATS_URL: kit.url, ...env });
  return { code, stdout, stderr };
}

describe('of a durable function', () => {
  test('code that asks for the same fits, and none of it happens', async () => {
    const { code, stdout } = await check(['check-order', '--module', MODULE]);
    expect(stdout).toMatch(/open +fits +1/);
    expect(stdout).toMatch(/ended +fits +2/);
    expect(stdout).toContain('2 runs of check-order: all fit');
    expect(stdout).not.toContain('executes');
    expect(code).toBe(0);
  });

  test('code that asks for something else breaks the runs, says why, and ends with 1', async () => {
    const { code, stdout, stderr } = await check(['check-order', '--module', MODULE, '--last', '1', '--json'], {
      REPLAY_CHARGE: 'bill',
    });
    expect(JSON.parse(stdout)).toEqual({
      workflow: 'check-order',
      runs: 1,
      broken: 1,
      results: [
        {
          workflow: 'check-order',
          runId: 'open',
          fits: false,
          replayed: 0,
          reason: 'the journal has "charge" as result 1; the code asks for "bill"',
        },
      ],
    });
    expect(stderr).toContain('MR_REPLAY_DIVERGED');
    expect(code).toBe(1);
  });

  test('without its code, or with a module that has not got it, it says what to do', async () => {
    const none = await check(['check-order']);
    expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining('--module') });
    const other = await check(['check-order', '--module', 'test/kit/workflows.ts']);
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('exports no workflow') });
    const broken = await check(['check-order', '--module', 'no/such/file.js']);
    expect(broken).toMatchObject({ code: 2, stderr: expect.stringContaining('cannot load') });
  });
});

describe('of a declared workflow', () => {
  const manifest = (more: string): string => {
    const file = join(folder, 'chain.yaml');
    const retry = 'retry: {maxAttempts: 3, maxLost: 3, initial: 10ms, factor: 1, max: 10ms, jitter: 0}';
    const step = (name: string, needs: string): string =>
      `    - {name: ${name}, run: {worker: ${name}, queue: q}, needs: [${needs}], ${retry}}\n`;
    writeFileSync(
      file,
      `apiVersion: millrace/v1\nkind: Workflow\nmetadata: {name: check-chain}\nspec:\n  deadLetter: false\n  steps:\n${step('a', '')}${step('b', 'a')}${more === '' ? '' : step(more, 'a')}`,
    );
    return file;
  };

  test('the definition that is applied, and the same in a manifest, decide the same', async () => {
    expect(await check(['check-chain'])).toMatchObject({ code: 0, stdout: expect.stringContaining('all fit') });
    expect((await check(['check-chain', '--manifests', manifest('')])).code).toBe(0);
  });

  test('a manifest with a step more decides differently', async () => {
    const { code, stdout } = await check(['check-chain', '--manifests', manifest('c')]);
    expect(stdout).toMatch(/half +breaks +1 +entry \d+ would be decided differently/);
    expect(code).toBe(1);
  });
});
