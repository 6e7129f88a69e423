/** Finds and reads manifest files; writes plan files. */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMillraceError, MillraceError, messageOf } from '../kernel/index.ts';
import type { Plan } from './plan.ts';
import { formatPlanFile } from './plan-file.ts';
import type { SourceFile } from './source.ts';

const MANIFEST = /\.ya?ml$/;

async function filesUnder(path: string): Promise<readonly string[]> {
  const info = await stat(path);
  if (!info.isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && MANIFEST.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/**
 * The manifests at these paths: files as named, directories with every `.yaml` and `.yml` in them.
 * @throws MillraceError MR_USAGE when a path does not exist or holds no manifest
 */
export async function readManifests(paths: readonly string[]): Promise<readonly SourceFile[]> {
  const found = new Map<string, SourceFile>();
  for (const path of paths) {
    try {
      const files = await filesUnder(path);
      if (files.length === 0) {
        throw new MillraceError('MR_USAGE', `there are no manifests in ${path}`, {
          hint: 'manifests end in .yaml or .yml; name the directory that holds them',
          place: { file: path },
        });
      }
      for (const file of files) found.set(file, { file, text: await readFile(file, 'utf8') });
    } catch (error) {
      if (isMillraceError(error)) throw error;
      throw new MillraceError('MR_USAGE', `cannot read ${path}: ${messageOf(error)}`, {
        hint: 'name a manifest file or a directory of them, for example streams',
        place: { file: path },
        cause: error,
      });
    }
  }
  return [...found.values()];
}

/**
 * Writes a plan down.
 * @throws MillraceError MR_USAGE when the file cannot be written
 */
export async function writePlanFile(file: string, plan: Plan): Promise<void> {
  try {
    await writeFile(file, formatPlanFile(plan));
  } catch (error) {
    throw new MillraceError('MR_USAGE', `cannot write ${file}: ${messageOf(error)}`, {
      hint: 'name a file in a directory that you may write',
      place: { file },
      cause: error,
    });
  }
}
