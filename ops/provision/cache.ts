import { randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { withLock } from '../lib/lock.ts';
import { cacheDir } from '../lib/paths.ts';
import type { PartName, Progress } from './types.ts';

/** Longer than the slowest build we know of: whoever waits gets the other's result instead of building it again. */
const LOCK_WAIT_MS = 20 * 60_000;

export function cachedBinary(name: string, version: string): string {
  return join(cacheDir(), `${name}-${version}`, name);
}

/** One lock per part (and one named `go`, `apt`): two provisioners at once share the work, never the half-made files. */
export function withCacheLock<T>(lock: string, part: PartName, progress: Progress, work: () => Promise<T>): Promise<T> {
  const onWait = (pid: number): void => {
    const whose = pid === process.pid ? 'another part of this run' : `process ${pid}`;
    progress.detail(part, `waiting for ${whose}, which is at work`);
  };
  return withLock(join(cacheDir(), 'locks', `${lock}.lock`), { waitMs: LOCK_WAIT_MS, onWait }, work);
}

const ABANDONED_MS = 24 * 60 * 60_000;

/** What a killed provisioner left; young folders may belong to one at work on another part. */
function dropAbandoned(): void {
  mkdirSync(cacheDir(), { recursive: true });
  for (const entry of readdirSync(cacheDir()).filter((name) => name.startsWith('tmp-'))) {
    const path = join(cacheDir(), entry);
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > ABANDONED_MS) rmSync(path, { recursive: true, force: true });
  }
}

/** Gives `build` an empty folder in the cache, then moves what it made to `target` in one rename. */
export async function installAtomically(target: string, build: (temp: string) => Promise<string>): Promise<void> {
  dropAbandoned();
  const temp = join(cacheDir(), `tmp-${randomUUID()}`);
  mkdirSync(temp, { recursive: true });
  try {
    const made = await build(temp);
    chmodSync(made, 0o755);
    mkdirSync(dirname(target), { recursive: true });
    renameSync(made, target);
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
}
