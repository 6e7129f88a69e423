/** Where the long series of a benchmark are kept, beside the results. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './build.ts';

/** Writes a value as JSON; gives its path from the repository's root. */
export async function keepSeries(name: string, value: unknown): Promise<string> {
  const folder = join('bench', 'results');
  await mkdir(join(ROOT, folder), { recursive: true });
  const path = join(folder, `${name}.series.json`);
  await writeFile(join(ROOT, path), `${JSON.stringify(value)}\n`);
  return path;
}
