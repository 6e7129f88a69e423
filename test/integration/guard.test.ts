/** The regression guard as `make test` runs it: it can fail, and it can pass. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { printCommitted } from '../../bench/guard-rows.ts';
import { ROOT_DIR } from '../../ops/lib/paths.ts';

const ROW = 'functions';

describe('the guard as a program', () => {
  let dir = '';
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'millrace-guard-'));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  const guard = (ratio: number): Promise<{ readonly code: number; readonly output: string }> => {
    const file = join(dir, `${ratio}.json`);
    writeFileSync(file, printCommitted({ [ROW]: { ratio, share: 0.5, date: '2026-11-24' } }));
    const args = ['--import', 'tsx', 'bench/guard.ts', ROW, '--tries', '1', '--against', file];
    return new Promise((resolve) => {
      execFile(process.execPath, args, { cwd: ROOT_DIR }, (error, output) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, output });
      });
    });
  };

  it('fails against a ratio that nothing reaches', async () => {
    const { code, output } = await guard(1e9);
    expect(output.trim().split('\n').at(-1)).toBe('0 passed, 1 failed');
    expect(output).toContain('Look further with');
    expect(code).toBe(1);
  });

  it('its twin: passes against one that anything reaches', async () => {
    const { code, output } = await guard(1e-9);
    expect(output.trim().split('\n').at(-1)).toBe('1 passed, 0 failed');
    expect(code).toBe(0);
  });
});
