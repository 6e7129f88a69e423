import { join } from 'node:path';
import { downloadVerified } from '../lib/download.ts';
import { runOrThrow } from '../lib/exec.ts';
import { installAtomically } from './cache.ts';
import type { GoPin } from './pins.ts';

const ARCHES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const SYSTEMS: Readonly<Record<string, string>> = { linux: 'linux', darwin: 'darwin' };

/** The release's name for this machine, or undefined where no archive is published for it. */
export function archiveName(pin: GoPin, platform: string, arch: string): string | undefined {
  const os = SYSTEMS[platform];
  const cpu = ARCHES[arch];
  return os === undefined || cpu === undefined ? undefined : pin.archive.replace('{os}', os).replace('{arch}', cpu);
}

export async function installRelease(pin: GoPin, archive: string, target: string): Promise<void> {
  await installAtomically(target, async (temp) => {
    const file = join(temp, archive);
    await downloadVerified(pin.release, archive, pin.sums, file);
    await runOrThrow('tar', ['-xzf', file, '-C', temp], { timeoutMs: 120_000 });
    return join(temp, archive.replace(/\.tar\.gz$/, ''), pin.binary);
  });
}
