/** What a plan does to schedules, in words: what comes, changes, goes, and what becomes of runs that wait. Pure. */
import type { Definition, ScheduleDefinition } from '../engine/index.ts';
import { canonicalJson } from '../kernel/index.ts';
import { durationText } from './duration-text.ts';

/** `cron 0 6 * * * (Europe/Berlin)`, `every 15m`, `at 2026-03-01T06:00:00.000Z` */
export function whenText({ cron, timeZone, everyMs, at }: ScheduleDefinition): string {
  if (cron !== undefined) return `cron ${cron} (${timeZone ?? 'UTC'})`;
  if (everyMs !== undefined) return `every ${durationText(everyMs)}`;
  return `at ${at === undefined ? 'no time' : new Date(at).toISOString()}`;
}

/** One line for each schedule that comes (`+`), changes (`~`) or goes (`-`). */
export function scheduleNotes(before: Definition | undefined, after: Definition | undefined): readonly string[] {
  const [old, wanted] = [before?.schedules ?? [], after?.schedules ?? []];
  const gone = old.filter(({ name }) => !wanted.some((one) => one.name === name));
  return [
    ...wanted.flatMap((one) => {
      const known = old.find(({ name }) => name === one.name);
      const paused = one.paused === true ? ', paused' : '';
      if (known === undefined) return [`+ schedule ${one.name}: ${whenText(one)}, overlap ${one.overlap}${paused}`];
      if (canonicalJson({ ...known }) === canonicalJson({ ...one })) return [];
      return [
        `~ schedule ${one.name}: ${whenText(one)}, overlap ${one.overlap}${paused}; counts from now, what waits stays`,
      ];
    }),
    ...gone.map(({ name }) => `- schedule ${name}: runs that wait for an open one are dropped, open runs go on`),
  ];
}
