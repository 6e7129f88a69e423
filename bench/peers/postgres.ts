/** A throw-away PostgreSQL for a benchmark: one cluster in a folder of its own, as a user who is not root. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isRoot, runOrThrow } from '../../ops/lib/exec.ts';
import { requirePart } from '../../ops/provision/index.ts';
import { freePort, type ServerHandle, startProcess } from '../../ops/stack/index.ts';
import type { Sync } from '../systems/system.ts';

export interface Postgres {
  readonly version: string;
  readonly server: ServerHandle;
  /** The URL of a database of this name. */
  url(database: string): string;
}

/** Sized for a machine with two processors that others share; what is not named here is PostgreSQL's default. */
const SETTINGS: Readonly<Record<string, string>> = {
  max_connections: '120',
  shared_buffers: '512MB',
  // So that no checkpoint falls into a measurement of seconds because the log has filled up.
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
  wal_compression: 'on',
  random_page_cost: '1.1',
};

const USER = 'bench';

interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL refuses to run as root. The account comes with Debian's package. */
function account(): Account | undefined {
  if (!isRoot()) return undefined;
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/** The command as that account. Changing the account drops the tie to our own end, so it is tied anew. */
function as(who: Account | undefined, command: string, args: readonly string[]): [string, readonly string[]] {
  if (who === undefined) return [command, args];
  const change = [`--reuid=${who.uid}`, `--regid=${who.gid}`, '--clear-groups', '--pdeathsig', 'KILL', '--'];
  return ['setpriv', [...change, command, ...args]];
}

export async function startPostgres(parent: string, sync: Sync): Promise<Postgres> {
  const { command, version } = await requirePart('postgres');
  const bin = dirname(command);
  const who = account();
  const dir = join(parent, 'postgres');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (who !== undefined) {
    // The account must reach its folder, and only that.
    chmodSync(parent, 0o711);
    chownSync(dir, who.uid, who.gid);
  }
  const data = join(dir, 'data');
  const init = ['-D', data, '-U', USER, '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync'];
  await runOrThrow(...as(who, join(bin, 'initdb'), init), { cwd: dir, timeoutMs: 120_000 });
  const port = await freePort();
  const settings = Object.entries({
    ...SETTINGS,
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: dir,
    synchronous_commit: sync === 'always' ? 'on' : 'off',
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const [program, args] = as(who, command, ['-D', data, ...settings]);
  const server = await startProcess({ name: 'postgres', command: program, args, dir: join(parent, 'log'), cwd: dir });
  await ready(join(bin, 'pg_isready'), port);
  return {
    ...{ version, server },
    // By its socket in the file system: a little less work than TCP.
    url: (database) => `postgresql://${USER}@localhost:${port}/${database}?host=${encodeURIComponent(dir)}`,
  };
}

async function ready(command: string, port: number): Promise<void> {
  // It waits and asks again by itself no longer than its own time limit: a refused connection is an answer to it.
  for (let tries = 0; ; tries++) {
    try {
      await runOrThrow(command, ['-h', '127.0.0.1', '-p', String(port)]);
      return;
    } catch (error) {
      if (tries > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
