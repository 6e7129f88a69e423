import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const OPS_DIR = dirname(dirname(fileURLToPath(import.meta.url)));
export const ROOT_DIR = dirname(OPS_DIR);

/** Read at each call, not at import: tests point it at a folder of their own. */
export function cacheDir(): string {
  const chosen = process.env['MILLRACE_CACHE'];
  return chosen !== undefined && chosen !== '' ? resolve(chosen) : join(ROOT_DIR, '.millrace', 'cache');
}
