import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../lib/errors.ts';
import { isExecutable, run, which } from '../lib/exec.ts';
import { formatVersion, isAtLeast, parseVersion } from '../lib/version.ts';
import { aptInstall, canUseApt } from './apt.ts';
import { PINS } from './pins.ts';
import type { Part, PartName, Progress } from './types.ts';

interface SystemProgram {
  readonly name: PartName;
  readonly commands: readonly string[];
  /** Where Debian keeps programs of which several versions may be installed: not on PATH. */
  readonly folders?: () => readonly string[];
  readonly minimum: string;
  readonly packages: readonly string[];
  readonly unavailable: string;
}

/** Redis: only a hint in this system, so doing without is a mode and not a failure. */
export function provisionRedis(progress: Progress): Promise<Part> {
  return provisionSystemProgram(
    {
      name: 'redis',
      commands: ['redis-server', 'valkey-server'],
      minimum: PINS.redis.minimum,
      packages: ['redis-server'],
      unavailable:
        'The reconcile queue runs in memory, so start one controller only. For more, install Redis 6.2 or newer: ' +
        '`sudo apt-get install redis-server` on Debian or Ubuntu, `brew install redis` on macOS.',
    },
    progress,
  );
}

export function provisionChromium(progress: Progress): Promise<Part> {
  return provisionSystemProgram(
    {
      name: 'chromium',
      commands: ['chromium', 'chromium-browser', 'google-chrome'],
      minimum: PINS.chromium.minimum,
      packages: ['chromium'],
      unavailable: 'Browser tests cannot run. Install Chromium (`sudo apt-get install chromium` on Debian) for them.',
    },
    progress,
  );
}

/** PostgreSQL: only a benchmark wants it, for a peer that stands on it. */
export function provisionPostgres(progress: Progress): Promise<Part> {
  return provisionSystemProgram(
    {
      name: 'postgres',
      commands: ['postgres'],
      folders: postgresFolders,
      minimum: PINS.postgres.minimum,
      packages: ['postgresql'],
      unavailable: `What stands on it cannot be measured. Install PostgreSQL ${PINS.postgres.minimum} or newer for that.`,
    },
    progress,
  );
}

const DEBIAN_POSTGRES = '/usr/lib/postgresql';

/** Newest first. */
function postgresFolders(): readonly string[] {
  if (!existsSync(DEBIAN_POSTGRES)) return [];
  const versions = readdirSync(DEBIAN_POSTGRES).sort((a, b) => Number(b) - Number(a));
  return versions.map((version) => join(DEBIAN_POSTGRES, version, 'bin'));
}

async function provisionSystemProgram(program: SystemProgram, progress: Progress): Promise<Part> {
  const { name } = program;
  const present = await findProgram(program);
  if (present !== undefined) return { status: 'available', name, source: 'path', ...present };
  if (!canUseApt()) {
    return { status: 'unavailable', name, reason: `None on PATH and no apt-get as root. ${program.unavailable}` };
  }
  try {
    progress.detail(name, `installing Debian's ${program.packages.join(', ')}`);
    await aptInstall(name, program.packages, progress);
  } catch (error) {
    return { status: 'unavailable', name, reason: `${messageOf(error)}\n${program.unavailable}` };
  }
  const installed = await findProgram(program);
  if (installed !== undefined) return { status: 'available', name, source: 'apt', ...installed };
  return { status: 'unavailable', name, reason: `The Debian package is too old. ${program.unavailable}` };
}

async function findProgram(program: SystemProgram): Promise<{ command: string; version: string } | undefined> {
  const inFolders = (program.folders?.() ?? []).flatMap((folder) => program.commands.map((name) => join(folder, name)));
  // Those in the folders first: a link on PATH tells nothing of the programs beside it.
  const candidates = [...inFolders.filter(isExecutable), ...program.commands.flatMap((name) => which(name) ?? [])];
  for (const command of candidates) {
    const answer = await run(command, ['--version'], { timeoutMs: 15_000 });
    const version = answer.code === 0 ? parseVersion(answer.stdout) : undefined;
    if (version !== undefined && isAtLeast(formatVersion(version), program.minimum)) {
      return { command, version: formatVersion(version) };
    }
  }
  return undefined;
}
