import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { messageOf } from '../lib/errors.ts';
import { run, runOrThrow, which } from '../lib/exec.ts';
import { cacheDir, OPS_DIR } from '../lib/paths.ts';
import { compareVersions, formatVersion, isAtLeast, parseVersion } from '../lib/version.ts';
import { aptInstall, canUseApt } from './apt.ts';
import { withCacheLock } from './cache.ts';
import { PINS } from './pins.ts';
import type { Part, Progress } from './types.ts';

const PIP_MS = 15 * 60_000;
const PYTHONS = ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.14'];

interface Python {
  readonly command: string;
  readonly version: string;
}

/** A migrated, empty database. Migrating from nothing takes Prefect longer than the rest of its start. */
const TEMPLATE = 'template.db';

export async function provisionPrefect(progress: Progress): Promise<Part> {
  const { version, pythonMinimum } = PINS.prefect;
  const python = await findPython();
  if (python === undefined) {
    const reason = `No Python from ${pythonMinimum} up to below ${PINS.prefect.pythonBelow} on PATH. Install Python 3.12 with its venv module and try again.`;
    return { status: 'unavailable', name: 'prefect', reason };
  }
  const venv = venvDir(python);
  const command = join(venv, 'bin', 'python');
  const found = (source: 'cached' | 'pip'): Part => ({
    status: 'available',
    name: 'prefect',
    command,
    version,
    source,
  });
  if (existsSync(command)) return found('cached');
  return withCacheLock('prefect', 'prefect', progress, async () => {
    if (existsSync(command)) return found('cached');
    try {
      progress.detail('prefect', `installing into a virtual environment of Python ${python.version} (half a minute)`);
      await buildVenv(python, venv, progress);
      return found('pip');
    } catch (error) {
      const reason = `Prefect could not be installed: ${messageOf(error)}`;
      return { status: 'unavailable', name: 'prefect', reason };
    }
  });
}

/** Named after all that goes into it, so a changed lock or another Python makes a new one beside the old. */
function venvDir(python: Python): string {
  const lock = readFileSync(join(OPS_DIR, PINS.prefect.lock));
  const key = createHash('sha256').update(lock).update(python.version).update(process.arch).digest('hex').slice(0, 12);
  return join(cacheDir(), `prefect-${PINS.prefect.version}-${key}`);
}

/**
 * A virtual environment cannot be moved, so each build has a folder of its own and the name in use is a link, set last.
 * The pip of a provisioner that was killed may still be writing: it writes where nobody looks.
 */
async function buildVenv(python: Python, name: string, progress: Progress): Promise<void> {
  mkdirSync(cacheDir(), { recursive: true });
  dropUnfinished(name);
  const venv = `${name}.${randomBytes(4).toString('hex')}`;
  try {
    await fillVenv(python, venv, progress);
  } catch (error) {
    rmSync(venv, { recursive: true, force: true });
    throw error;
  }
  rmSync(name, { recursive: true, force: true });
  symlinkSync(basename(venv), name);
}

function dropUnfinished(name: string): void {
  for (const entry of readdirSync(dirname(name))) {
    if (entry.startsWith(`${basename(name)}.`)) rmSync(join(dirname(name), entry), { recursive: true, force: true });
  }
}

async function fillVenv(python: Python, venv: string, progress: Progress): Promise<void> {
  await createVenv(python, venv, progress);
  const command = join(venv, 'bin', 'python');
  const lock = join(OPS_DIR, PINS.prefect.lock);
  // --no-deps: the lock is the whole set, so nothing is left to resolve and nothing else can slip in.
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--require-hashes', '--no-deps'];
  await runOrThrow(command, [...pip, '-r', lock], { timeoutMs: PIP_MS });
  await runOrThrow(command, ['-c', 'import prefect, nats'], { timeoutMs: 120_000 });
  await buildTemplate(command, venv);
}

async function createVenv(python: Python, venv: string, progress: Progress): Promise<void> {
  const first = await run(python.command, ['-m', 'venv', venv], { timeoutMs: 120_000 });
  if (first.code === 0) return;
  // Debian ships Python without its venv module.
  if (!canUseApt()) await runOrThrow(python.command, ['-m', 'venv', venv], { timeoutMs: 120_000 });
  await aptInstall('prefect', ['python3-venv'], progress);
  rmSync(venv, { recursive: true, force: true });
  await runOrThrow(python.command, ['-m', 'venv', venv], { timeoutMs: 120_000 });
}

async function buildTemplate(command: string, venv: string): Promise<void> {
  const home = join(venv, 'template-home');
  const script = join(OPS_DIR, 'prefect', 'template_db.py');
  await runOrThrow(command, [script, join(venv, TEMPLATE)], {
    env: { PREFECT_HOME: home, PREFECT_SERVER_ANALYTICS_ENABLED: 'false', DO_NOT_TRACK: '1' },
    timeoutMs: 300_000,
  });
  rmSync(home, { recursive: true, force: true });
}

export function templateDatabase(pythonCommand: string): string {
  return join(pythonCommand, '..', '..', TEMPLATE);
}

async function findPython(): Promise<Python | undefined> {
  for (const name of PYTHONS) {
    const command = which(name);
    if (command === undefined) continue;
    const answer = await run(command, ['--version'], { timeoutMs: 10_000 });
    const version = answer.code === 0 ? parseVersion(answer.stdout) : undefined;
    if (version !== undefined && isUsable(formatVersion(version))) return { command, version: formatVersion(version) };
  }
  return undefined;
}

export function isUsable(version: string): boolean {
  const parsed = parseVersion(version);
  const below = parseVersion(PINS.prefect.pythonBelow);
  if (parsed === undefined || below === undefined) return false;
  return isAtLeast(version, PINS.prefect.pythonMinimum) && compareVersions(parsed, below) < 0;
}
