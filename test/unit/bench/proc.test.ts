import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { cpuTimes, memoryMb, parseStat, processTree } from '../../../bench/systems/proc.ts';

describe('a line of /proc/<pid>/stat', () => {
  test('gives parent and processor time, its ended children included, whatever the name is', () => {
    const line = '4242 (a (b) c) S 17 4242 4242 0 -1 4194560 900 0 0 0 11 22 33 44 20 0 1 0 12345 0 0';
    expect(parseStat(line)).toEqual({ pid: 4242, parent: 17, cpuMs: (11 + 22 + 33 + 44) * 10 });
  });
});

describe('real processes', () => {
  test('a child is in our tree; as a server it is counted apart', async () => {
    const busy = "while (process.cpuUsage().user < 300_000); console.log('done'); setInterval(() => 0, 1e6)";
    const child = spawn(process.execPath, ['-e', busy], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      const pid = child.pid ?? 0;
      await once(child.stdout, 'data');
      if (process.platform !== 'linux') {
        // No /proc: nothing is known, and said so by zeros.
        expect([processTree([pid]), cpuTimes([pid]).servers]).toEqual([[], 0]);
        return;
      }
      expect(processTree([process.pid])).toContain(pid);
      const apart = cpuTimes([pid]);
      expect(apart.servers).toBeGreaterThanOrEqual(100);
      expect(cpuTimes([]).servers).toBe(0);
      expect(cpuTimes([]).host).toBeGreaterThanOrEqual(apart.host + 100);
      expect(memoryMb([pid]).servers).toBeGreaterThan(5);
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    expect(processTree([child.pid ?? 0])).toEqual([]);
  });
});
