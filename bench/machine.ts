/** The machine and the versions of everything that is measured, as they are said beside the figures. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { cacheDir, ROOT_DIR } from '../ops/lib/paths.ts';
import { requirePart } from '../ops/provision/index.ts';

const run = promisify(execFile);

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGb: number;
  readonly kernel: string;
  /** By name; what is not installed here is left out. */
  readonly versions: Readonly<Record<string, string>>;
}

/** The first version that a command prints; undefined when it cannot be run. */
async function versionOf(command: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await run(command, [...args], { timeout: 20_000 });
    return /\d+(?:\.\d+)+/.exec(`${stdout}\n${stderr}`)?.[0];
  } catch {
    return undefined;
  }
}

async function partVersion(part: 'nats' | 'redis', args: readonly string[]): Promise<string | undefined> {
  try {
    return await versionOf((await requirePart(part)).command, args);
  } catch {
    return undefined; // not provisioned, and nothing that was measured needed it
  }
}

const PREFECT_VERSION = 'import importlib.metadata as m; print(m.version("prefect"))';

async function prefectVersion(): Promise<string | undefined> {
  // Asking for the part would install it, which takes minutes that a benchmark without it has no use for.
  const installed = existsSync(cacheDir()) && readdirSync(cacheDir()).some((name) => name.startsWith('prefect-'));
  if (!installed) return undefined;
  try {
    return await versionOf((await requirePart('prefect')).command, ['-c', PREFECT_VERSION]);
  } catch {
    return undefined;
  }
}

/** Debian keeps the server's programs out of the PATH, one folder per major version. */
function postgresCommand(): string {
  const root = '/usr/lib/postgresql';
  const newest = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a))[0] : undefined;
  return newest === undefined ? 'postgres' : join(root, newest, 'bin', 'postgres');
}

const LOCK = z.object({ packages: z.record(z.string(), z.object({ version: z.string().optional() })) });
const PACKAGE = z.object({ dependencies: z.record(z.string(), z.string()) });

/** The peers' packages as locked; none where bench/peers has no lock file. */
function peerPackages(): Readonly<Record<string, string>> {
  const folder = join(ROOT_DIR, 'bench', 'peers');
  if (!existsSync(join(folder, 'package-lock.json'))) return {};
  const lock = LOCK.parse(JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')));
  const { dependencies } = PACKAGE.parse(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')));
  return Object.fromEntries(
    Object.keys(dependencies).flatMap((name) => {
      const version = lock.packages[`node_modules/${name}`]?.version;
      return version === undefined ? [] : [[name, version]];
    }),
  );
}

export async function readMachine(): Promise<Machine> {
  const [nats, redis, prefect, postgres] = await Promise.all([
    partVersion('nats', ['--version']),
    partVersion('redis', ['--version']),
    prefectVersion(),
    versionOf(postgresCommand(), ['--version']),
  ]);
  const all = {
    Node: process.versions.node,
    'nats-server': nats,
    Redis: redis,
    Prefect: prefect,
    PostgreSQL: postgres,
  };
  const known = Object.entries({ ...all, ...peerPackages() }).flatMap(([name, version]) =>
    version === undefined ? [] : [[name, version] as const],
  );
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGb: Math.round(totalmem() / 1e9),
    kernel: `${type()} ${release()}`,
    versions: Object.fromEntries(known),
  };
}

/** As two lines of a page. */
export function machineText({ cores, cpu, memoryGb, kernel, versions }: Machine): string {
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `**Machine**: ${cores} cores (${cpu}), ${memoryGb} GB of memory, ${kernel}; clients, servers and workers all on it.`,
    `**Versions**: ${list.join(', ')}.`,
  ].join('  \n');
}
