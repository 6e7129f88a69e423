/** The peers' packages: a lock file of their own, installed only when somebody measures them. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../ops/lib/errors.ts';
import { runOrThrow } from '../ops/lib/exec.ts';
import { withLock } from '../ops/lib/lock.ts';
import { cacheDir } from '../ops/lib/paths.ts';

export const PEERS_DIR = join(dirname(fileURLToPath(import.meta.url)), 'peers');
const INSTALL_MS = 10 * 60_000;

/** npm writes its own copy of the lock at the end of an install: older than ours, and an install is due. */
function isInstalled(): boolean {
  const written = join(PEERS_DIR, 'node_modules', '.package-lock.json');
  if (!existsSync(written)) return false;
  return statSync(written).mtimeMs >= statSync(join(PEERS_DIR, 'package-lock.json')).mtimeMs;
}

/** Installs the peers' packages unless they are there; gives the sentence that says why it did not work, or nothing. */
export async function ensurePeers(): Promise<string | undefined> {
  if (isInstalled()) return undefined;
  try {
    await withLock(join(cacheDir(), 'locks', 'peers.lock'), { waitMs: INSTALL_MS }, async () => {
      if (isInstalled()) return;
      // No scripts of packages: what the peers need of them is in their platform packages.
      const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', PEERS_DIR];
      await runOrThrow('npm', args, { cwd: PEERS_DIR, timeoutMs: INSTALL_MS });
    });
    return undefined;
  } catch (error) {
    return `the peers' packages could not be installed: ${messageOf(error)}`;
  }
}

/** Of an installed package of the peers. */
export function peerVersion(name: string): string {
  const found: { readonly version: string } = JSON.parse(
    readFileSync(join(PEERS_DIR, 'node_modules', name, 'package.json'), 'utf8'),
  );
  return found.version;
}
