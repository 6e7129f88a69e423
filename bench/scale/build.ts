/**
 * The product as an operator runs it: compiled, out of the tree, so that neither the compiler at work in the measured process nor
 * somebody's edit in the middle of a long run is part of what is measured.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Build {
  /** The compiled command line, for `node <bin> controller`. */
  readonly bin: string;
  remove(): Promise<void>;
}

/** Compiles `src`. Inside the repository, so that the packages are found from there. */
export async function build(): Promise<Build> {
  const parent = join(ROOT, '.millrace', 'bench');
  await mkdir(parent, { recursive: true });
  const dir = await mkdtemp(join(parent, 'build-'));
  const remove = (): Promise<void> => rm(dir, { recursive: true, force: true });
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [tsc, '-p', 'tsconfig.build.json', '--outDir', join(dir, 'dist'), '--declaration', 'false'];
  const output = await new Promise<string>((resolve) => {
    execFile(process.execPath, args, { cwd: ROOT }, (_error, stdout, stderr) => resolve(`${stdout}${stderr}`));
  });
  const bin = join(dir, 'dist', 'cli', 'main.js');
  try {
    await stat(bin); // a complaint about types is no obstacle, no output is
    await cp(join(ROOT, 'package.json'), join(dir, 'package.json'));
  } catch (cause) {
    await remove();
    throw new Error(`the product does not compile: ${output}`, { cause });
  }
  return { bin, remove };
}
