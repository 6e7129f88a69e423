/**
 * Completes package-lock.json with the platform packages that the registry did not have at the moment of locking.
 *
 *   node --import tsx ops/lock.ts [--check]
 *
 * `npm install` leaves out of the lock an optional package that it cannot fetch, and `npm ci` then refuses the whole lock,
 * on every platform. An entry with version, os and cpu is all that `npm ci` needs to know that the package is for another
 * platform; on that platform it is fetched by its version.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';

const entrySchema = z.looseObject({
  version: z.string().optional(),
  dev: z.boolean().optional(),
  optional: z.boolean().optional(),
  optionalDependencies: z.record(z.string(), z.string()).optional(),
});
const lockSchema = z.looseObject({ packages: z.record(z.string(), entrySchema) });
type Lock = z.infer<typeof lockSchema>;

const PLATFORMS = [
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
  'aix',
];
const PROCESSORS = ['arm64', 'arm', 'ia32', 'x64', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x'];

/** What the lock lacks, by the path of the entry it should have. */
export function missingEntries(lock: Lock): Readonly<Record<string, z.infer<typeof entrySchema>>> {
  const missing: Record<string, z.infer<typeof entrySchema>> = {};
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const nested = `${path}/node_modules/${name}`;
      const top = `node_modules/${name}`;
      if (lock.packages[nested] !== undefined || lock.packages[top] !== undefined) continue;
      // Only exact versions name a platform's build of their parent; a range could mean anything.
      if (!/^\d/.test(version)) continue;
      const words = name.split(/[/-]/);
      const os = PLATFORMS.filter((one) => words.includes(one));
      const cpu = PROCESSORS.filter((one) => words.includes(one));
      if (os.length === 0) continue;
      const dev = entry.dev === true ? { dev: true } : {};
      missing[top] = { version, ...(cpu.length === 0 ? {} : { cpu }), ...dev, optional: true, os };
    }
  }
  return missing;
}

/** The lock with what it lacked, its entries in npm's order. */
export function completeLock(lock: Lock): Lock {
  const packages = { ...lock.packages, ...missingEntries(lock) };
  const sorted = Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, 'en'));
  return { ...lock, packages: Object.fromEntries(sorted) };
}

function main(argv: readonly string[]): void {
  const file = 'package-lock.json';
  const lock = lockSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  const missing = Object.keys(missingEntries(lock));
  if (missing.length === 0) return console.log(`${file} is complete`);
  if (argv.includes('--check')) {
    console.error(`${file} lacks ${missing.join(', ')}; run node --import tsx ops/lock.ts`);
    process.exitCode = 1;
    return;
  }
  writeFileSync(file, `${JSON.stringify(completeLock(lock), null, 2)}\n`);
  console.log(`added ${missing.join(', ')}`);
}

if (import.meta.url === `file://${process.argv[1]}`) main(process.argv.slice(2));
