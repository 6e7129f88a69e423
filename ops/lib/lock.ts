import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { OpsError } from './errors.ts';
import { identityOf, isSameProcess, type ProcessIdentity } from './identity.ts';

export interface LockOptions {
  readonly waitMs: number;
  /** Called once when somebody else holds the lock. */
  readonly onWait?: (holder: number) => void;
}

/**
 * Runs `work` while holding `path`. A lock whose owner is gone is taken over: a killed provisioner must not block the
 * next one. The file appears with its content by hard link, so no reader ever sees it half written.
 */
export async function withLock<T>(path: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true });
  const token = randomUUID();
  await acquire(path, token, options);
  try {
    return await work();
  } finally {
    if (readOwner(path)?.token === token) rmSync(path, { force: true });
  }
}

interface Owner extends ProcessIdentity {
  readonly token: string;
}

async function acquire(path: string, token: string, options: LockOptions): Promise<void> {
  const until = Date.now() + options.waitMs;
  let told = false;
  while (!tryTake(path, token)) {
    const owner = readOwner(path);
    if (owner === undefined || !isSameProcess(owner)) {
      dropStale(path, owner);
      continue;
    }
    if (!told) options.onWait?.(owner.pid);
    told = true;
    if (Date.now() > until) {
      throw new OpsError(
        'MR_LOCKED',
        `${path} is held by process ${owner.pid}. Wait for it or end it, then try again.`,
      );
    }
    await pause(100);
  }
}

function tryTake(path: string, token: string): boolean {
  const mine = `${path}.${token}`;
  const identity = identityOf(process.pid) ?? { pid: process.pid, started: 'unknown' };
  writeFileSync(mine, JSON.stringify({ ...identity, token } satisfies Owner));
  try {
    linkSync(mine, path);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(mine, { force: true });
  }
}

function readOwner(path: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Owner;
  } catch {
    return undefined;
  }
}

/** Renamed before it is removed: of two who find the same stale lock, the one who renames a fresh lock puts it back. */
function dropStale(path: string, stale: Owner | undefined): void {
  const aside = `${path}.stale-${randomUUID()}`;
  try {
    renameSync(path, aside);
    if (readOwner(aside)?.token !== stale?.token) linkSync(aside, path);
  } catch {
    // Somebody else was faster, which is as good.
  } finally {
    rmSync(aside, { force: true });
  }
}
