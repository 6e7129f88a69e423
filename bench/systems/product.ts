/**
 * The product compiled as it is published: the loader that runs TypeScript here wraps every function it meets, which peers'
 * packages are spared. Compiled once, and again when a source is newer than what there is.
 */
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, ROOT } from '../scale/build.ts';

const HOME = join(ROOT, '.millrace', 'bench', 'product');

export interface Product {
  readonly drivers: typeof import('../../src/drivers/index.ts');
  readonly functions: typeof import('../../src/functions/index.ts');
  readonly telemetry: typeof import('../../src/telemetry/index.ts');
}

async function newest(dir: string): Promise<number> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const times = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => (await stat(join(entry.parentPath, entry.name))).mtimeMs),
  );
  return Math.max(0, ...times);
}

/** @throws Error when the sources do not compile */
export async function product(): Promise<Product> {
  const marker = join(HOME, 'dist', 'index.js');
  const built = await stat(marker).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
  if (built < (await newest(join(ROOT, 'src')))) {
    const { bin } = await build();
    const made = dirname(dirname(dirname(bin)));
    await rm(HOME, { recursive: true, force: true });
    await rename(made, HOME);
  }
  const load = async <T>(name: string): Promise<T> =>
    (await import(pathToFileURL(join(HOME, 'dist', name, 'index.js')).href)) as T;
  return { drivers: await load('drivers'), functions: await load('functions'), telemetry: await load('telemetry') };
}
