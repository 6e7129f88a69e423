import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { isRoot, run, runOrThrow, which } from '../lib/exec.ts';
import { withCacheLock } from './cache.ts';
import type { PartName, Progress } from './types.ts';

const POLICY = '/usr/sbin/policy-rc.d';
const APT_MS = 10 * 60_000;

export function canUseApt(): boolean {
  return isRoot() && which('apt-get') !== undefined;
}

/** Installs Debian packages without starting the services they bring: we start our own, on ports of our own. */
export async function aptInstall(part: PartName, packages: readonly string[], progress: Progress): Promise<void> {
  await withCacheLock('apt', part, progress, async () => {
    const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
    const wait = ['-o', 'DPkg::Lock::Timeout=300'];
    const ownPolicy = !existsSync(POLICY);
    // 101 is "not allowed" to whoever asks whether to start a service. An administrator's own policy is left alone.
    if (ownPolicy) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    try {
      // A failed update may still leave lists that know the package: the install decides.
      await run('apt-get', ['update', '-q', ...wait], { env, timeoutMs: APT_MS });
      await runOrThrow('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...wait, ...packages], {
        env,
        timeoutMs: APT_MS,
      });
    } finally {
      if (ownPolicy) rmSync(POLICY, { force: true });
    }
  });
}
