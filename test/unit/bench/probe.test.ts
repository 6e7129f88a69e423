import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { addUsed, openProbe } from '../../../bench/probe.ts';

/** Elsewhere there is no /proc to read, and all is 0. */
const LEAST = process.platform === 'linux' ? { cpuMs: 100, rssMb: 5 } : { cpuMs: -1, rssMb: -1 };

/** Takes so much processor time (on a busy machine that is not the time that passes), then says so, then waits until its input ends. */
const BUSY = (ms: number): string =>
  `process.stdin.once('data', () => { while (process.cpuUsage().user < ${ms * 1_000}); ` +
  `process.stdout.write('done'); }); process.stdin.once('end', () => process.exit(0)); process.stdin.resume()`;

describe('processor time and memory', () => {
  it('of a server count for the server and not for us', async () => {
    const child = spawn(process.execPath, ['-e', BUSY(300)], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      const used = await openProbe(() => [child.pid ?? 0]).during(async () => {
        child.stdin.write('go');
        await once(child.stdout, 'data');
        return 1;
      });
      expect(used.seconds).toBe(1);
      expect(used.serverCpuMs).toBeGreaterThan(LEAST.cpuMs);
      expect(used.cpuMs).toBeLessThanOrEqual(used.serverCpuMs);
      expect(used.serverRssMb).toBeGreaterThan(LEAST.rssMb);
    } finally {
      child.stdin.end();
      await once(child, 'exit');
    }
  });
});

describe('laps', () => {
  it('add up in time, and keep the largest memory', () => {
    const lap = { seconds: 1, cpuMs: 10, serverCpuMs: 5, rssMb: 100, serverRssMb: 30 };
    expect(addUsed([lap, { ...lap, rssMb: 90, serverRssMb: 40 }])).toEqual({
      ...{ seconds: 2, cpuMs: 20, serverCpuMs: 10, rssMb: 100, serverRssMb: 40 },
    });
    expect(addUsed([])).toEqual({ seconds: 0, cpuMs: 0, serverCpuMs: 0, rssMb: 0, serverRssMb: 0 });
  });
});
