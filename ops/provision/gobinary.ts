import { join } from 'node:path';
import { messageOf, OpsError } from '../lib/errors.ts';
import { findGo, isExecutable, run, runOrThrow, which } from '../lib/exec.ts';
import { OPS_DIR } from '../lib/paths.ts';
import { formatVersion, isAtLeast, parseVersion } from '../lib/version.ts';
import { cachedBinary, installAtomically, withCacheLock } from './cache.ts';
import type { GoModulePin, GoPin } from './pins.ts';
import { archiveName, installRelease } from './release.ts';
import type { AvailablePart, Part, PartSource, Progress } from './types.ts';

/** What differs between the programs we take from a release or from Go. */
export interface GoProgram {
  readonly name: 'nats' | 'jaeger' | 'natscli' | 'temporal';
  /** With release archives these come first; without, it is built. */
  readonly pin: GoPin | GoModulePin;
  readonly pathNames: readonly string[];
  readonly versionArgs: readonly string[];
  readonly goHint: string;
  readonly build: (go: string, temp: string) => Promise<string>;
  readonly unavailable: string;
}

const GO_BUILD_MS = 15 * 60_000;

export async function provisionGoProgram(program: GoProgram, progress: Progress): Promise<Part> {
  const { name, pin } = program;
  const available = (command: string, source: PartSource, version = pin.version): AvailablePart => {
    return { status: 'available', name, command, version, source };
  };
  const onPath = await findOnPath(program, progress);
  if (onPath !== undefined) return available(onPath.command, 'path', onPath.version);
  const target = cachedBinary(pin.binary, pin.version);
  if (isExecutable(target)) return available(target, 'cached');
  return withCacheLock(name, name, progress, async () => {
    if (isExecutable(target)) return available(target, 'cached');
    if (await tryRelease(program, target, progress)) return available(target, 'release');
    const failure = await tryGo(program, target, progress);
    if (failure === undefined) return available(target, 'go');
    return { status: 'unavailable', name, reason: `${failure} ${program.unavailable}` };
  });
}

async function findOnPath(
  program: GoProgram,
  progress: Progress,
): Promise<{ command: string; version: string } | undefined> {
  for (const candidate of program.pathNames) {
    const command = which(candidate);
    if (command === undefined) continue;
    const answer = await run(command, program.versionArgs, { timeoutMs: 10_000 });
    const text = `${answer.stdout}\n${answer.stderr}`;
    const version = answer.code === 0 ? readToolVersion(text) : undefined;
    if (version !== undefined && isAtLeast(version, program.pin.minimum)) return { command, version };
    const found = version ?? 'an unknown version';
    progress.detail(program.name, `${candidate} on PATH is ${found}; at least ${program.pin.minimum} is needed`);
  }
  return undefined;
}

/** Jaeger prints warnings with years and links around its version: only lines that announce a version count. */
export function readToolVersion(text: string): string | undefined {
  for (const line of text.split('\n')) {
    const isVersionLine =
      /nats-server:|"gitVersion"|git-version=|jaeger version|^temporal version|^v?\d+\.\d+\.\d+$/.test(line);
    const version = isVersionLine
      ? parseVersion(line.replace(/^.*(nats-server:|gitVersion|git-version=|version)/, ' '))
      : undefined;
    if (version !== undefined) return formatVersion(version);
  }
  return undefined;
}

async function tryRelease(program: GoProgram, target: string, progress: Progress): Promise<boolean> {
  const { pin } = program;
  if (!('release' in pin)) {
    progress.detail(program.name, program.goHint);
    return false;
  }
  const archive = archiveName(pin, process.platform, process.arch);
  if (archive === undefined) {
    progress.detail(program.name, `no release archive for ${process.platform} ${process.arch}; ${program.goHint}`);
    return false;
  }
  try {
    await installRelease(pin, archive, target);
    return true;
  } catch (error) {
    // A wrong checksum may be an attack: it must be seen, and it must not be papered over by another source.
    if (error instanceof OpsError && error.code === 'MR_CHECKSUM') throw error;
    progress.detail(program.name, `release archive not to be had: ${messageOf(error)}; ${program.goHint}`);
    return false;
  }
}

/** Undefined when built, else the sentence that says why not. */
async function tryGo(program: GoProgram, target: string, progress: Progress): Promise<string | undefined> {
  const go = findGo();
  if (go === undefined) {
    return 'release' in program.pin
      ? 'Neither the release archive nor a Go tool chain is to be had.'
      : 'It is built with Go, and there is no Go tool chain.';
  }
  try {
    // Go already uses every core for one build; two at once only make both slow and big.
    await withCacheLock('go', program.name, progress, () =>
      installAtomically(target, async (temp) => {
        const made = await program.build(go, temp);
        await checkModule(go, made, program.pin);
        return made;
      }),
    );
    return undefined;
  } catch (error) {
    return `The Go build failed: ${messageOf(error)}.`;
  }
}

/** What the binary says it was built from must be what we pinned, whatever proxy or replacement was in force. */
async function checkModule(go: string, binary: string, pin: GoModulePin): Promise<void> {
  const info = await runOrThrow(go, ['version', '-m', binary]);
  const lines = info.split('\n').map((line) => line.trim().split(/\s+/));
  const built = lines.find(([kind, module]) => (kind === 'mod' || kind === 'dep') && module === pin.module);
  if (built?.[2] !== `v${pin.version}` || built[3] !== pin.moduleSum) {
    throw new OpsError('MR_CHECKSUM', `${pin.module} was built from ${built?.slice(2).join(' ') ?? 'something else'}`);
  }
}

export async function goInstall(go: string, temp: string, pin: GoModulePin): Promise<string> {
  await runOrThrow(go, ['install', '-trimpath', `${pin.package ?? pin.module}@v${pin.version}`], {
    env: { GOBIN: temp },
    timeoutMs: GO_BUILD_MS,
  });
  return join(temp, pin.binary);
}

export async function goBuildFrom(go: string, temp: string, pin: GoPin, folder: string, pkg: string): Promise<string> {
  const output = join(temp, pin.binary);
  // Read-only: a build that would have to change go.sum is not the build we pinned.
  await runOrThrow(go, ['build', '-mod=readonly', '-trimpath', '-ldflags', '-s -w', '-o', output, pkg], {
    cwd: join(OPS_DIR, folder),
    env: { GOWORK: 'off' },
    timeoutMs: GO_BUILD_MS,
  });
  return output;
}
