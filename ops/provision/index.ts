import { OpsError } from '../lib/errors.ts';
import { provisionJaeger } from './jaeger.ts';
import { provisionNats } from './nats.ts';
import { provisionNatsCli, provisionTemporal } from './peers.ts';
import { provisionPrefect } from './prefect.ts';
import { provisionChromium, provisionPostgres, provisionRedis } from './system.ts';
import { type AvailablePart, PART_NAMES, type Part, type PartName, type Progress, SILENT } from './types.ts';

export { PINS } from './pins.ts';
export { templateDatabase } from './prefect.ts';
export { type ProgressStyle, printProgress } from './progress.ts';
export * from './types.ts';

const PROVISIONERS: Readonly<Record<PartName, (progress: Progress) => Promise<Part>>> = {
  nats: provisionNats,
  redis: provisionRedis,
  prefect: provisionPrefect,
  jaeger: provisionJaeger,
  chromium: provisionChromium,
  postgres: provisionPostgres,
  natscli: provisionNatsCli,
  temporal: provisionTemporal,
};

/** What the demo needs. Chromium is for browser tests alone, natscli and temporal for the benchmarks. */
export const DEMO_PARTS: readonly PartName[] = ['nats', 'redis', 'prefect', 'jaeger'];

const settled = new Map<string, Promise<Part>>();

/** One part, once per process and cache: a server started a hundred times in a test asks PATH once. */
export function provisionPart(name: PartName, progress: Progress = SILENT): Promise<Part> {
  const key = `${name} ${process.env['MILLRACE_CACHE'] ?? ''} ${process.env['PATH'] ?? ''}`;
  const known = settled.get(key);
  if (known !== undefined) return known;
  const started = Date.now();
  const work = PROVISIONERS[name](progress).then((part) => {
    progress.done(part, (Date.now() - started) / 1000);
    return part;
  });
  settled.set(key, work);
  // A failure is not remembered: the person may mend it and ask again.
  work.then((part) => part.status === 'unavailable' && settled.delete(key)).catch(() => settled.delete(key));
  return work;
}

/** All at once; each part takes its own locks, so what may not overlap does not. */
export function provision(names: readonly PartName[] = DEMO_PARTS, progress: Progress = SILENT): Promise<Part[]> {
  const wanted = PART_NAMES.filter((name) => names.includes(name));
  return Promise.all(wanted.map((name) => provisionPart(name, progress)));
}

export async function requirePart(name: PartName, progress: Progress = SILENT): Promise<AvailablePart> {
  const part = await provisionPart(name, progress);
  if (part.status === 'available') return part;
  throw new OpsError('MR_UNAVAILABLE', `${name} is not available here: ${part.reason}`);
}

/** The Python that has Prefect, nats-py and OpenTelemetry: what the flow host runs under. */
export async function prefectPython(progress: Progress = SILENT): Promise<string> {
  return (await requirePart('prefect', progress)).command;
}
