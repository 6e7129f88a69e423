/** `make demo` from its own run folder: the summary says what the streams say, and `make down` leaves nothing running. */
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { runDir } from '../../ops/stack/index.ts';

const RUN = `test-demo-${process.pid}`;

interface Ended {
  readonly code: number;
  readonly stdout: string;
}

function ops(script: string, ...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { ...process.env, MILLRACE_RUN: RUN };
    const argv = ['--import', 'tsx', script, ...args];
    execFile(process.execPath, argv, { env, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout: stdout + stderr });
    });
  });
}

afterAll(async () => {
  await ops('ops/main.ts', 'down');
  await rm(runDir(RUN), { recursive: true, force: true });
});

describe('make demo', () => {
  it('runs the main job and says how it went', { timeout: 600_000 }, async () => {
    const { code, stdout } = await ops('ops/demo/main.ts');
    expect(code, stdout).toBe(0);
    expect(stdout).toMatch(/1797 messages started 129 runs; all ended after/);
    expect(stdout).toMatch(/^ +89 completed$/m);
    expect(stdout).toMatch(/^ +1 failed$/m);
    expect(stdout).toMatch(/^ +18 completed, published after review$/m);
    expect(stdout).toMatch(/^ +21 completed, expired without review$/m);
    expect(stdout).toContain('row 100: field "delay": expected whole minutes as a number, found "twelve minutes"');
    expect(stdout).toMatch(/kept as +dead\.run\.delay-report\./);
    const [, agree, total] = /Streams and Prefect agree on (\d+) of (\d+) flow runs/.exec(stdout) ?? [];
    // One flow run for each run but the malformed one; more only where a flow run was lost and started again.
    expect(agree).toBe(total);
    expect(Number(total)).toBeGreaterThanOrEqual(128);
  });

  it('is stopped by make down, by the recorded processes', async () => {
    const { code, stdout } = await ops('ops/main.ts', 'down');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Stopped .*flow-host.*nats/);
    const status = await ops('ops/main.ts', 'status', '--json');
    const running = (JSON.parse(status.stdout) as { running: boolean }[]).filter((part) => part.running);
    expect(running).toEqual([]);
  });
});
