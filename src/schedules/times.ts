/**
 * The times of a schedule: which comes next, which was the last. Pure: the time to count from is given.
 *
 * A cron expression means wall-clock time in its zone. A time that a shift of the clocks leaves out is run once, at the shift;
 * one that comes twice is run once, the first time; where hours or minutes are `*` or steps, every elapsed one counts.
 */
import { Cron } from 'croner';
import type { ScheduleDefinition } from '../engine/index.ts';
import { derivedFraction, MillraceError, messageOf } from '../kernel/index.ts';

const compiled = new Map<string, Cron>();

/** Beyond it no date can be written down. */
const MAX_TIME = 8.64e15;

/** 5 or 6 fields, none of which depends on when it is read. */
function cronOf(cron: string, timeZone: string): Cron {
  const key = `${timeZone} ${cron}`;
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const made = new Cron(cron, { timezone: timeZone, mode: '5-or-6-parts' });
  compiled.set(key, made);
  return made;
}

/** `true` for a name of a time zone that this machine knows. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

/**
 * Checks a cron expression.
 * @throws MillraceError MR_INPUT_INVALID saying what is wrong with it
 */
export function checkCron(cron: string, timeZone = 'UTC'): void {
  const refuse = (why: string, cause?: unknown): MillraceError =>
    new MillraceError('MR_INPUT_INVALID', `cron "${cron}": ${why}`, {
      hint: 'write 5 fields (minute hour day month weekday), or 6 with seconds first, for example "30 6 * * 1-5"',
      cause,
    });
  const fields = cron.trim().split(/\s+/);
  if (fields.length !== 5 && fields.length !== 6) throw refuse(`has ${fields.length} fields, not 5 or 6`);
  if (cron.includes('?')) throw refuse('"?" depends on when it is read');
  let next: Date | null;
  try {
    next = cronOf(cron, timeZone).nextRun(new Date(0));
  } catch (error) {
    throw refuse(messageOf(error).replace(/^Cron\w+: /, ''), error);
  }
  if (next === null) throw refuse('names no date that there is');
}

/** The first time after `after` without regard to `startAt` and `endAt`. */
function following(spec: ScheduleDefinition, after: number): number | undefined {
  if (spec.cron !== undefined)
    return cronOf(spec.cron, spec.timeZone ?? 'UTC')
      .nextRun(new Date(after))
      ?.getTime();
  if (spec.everyMs !== undefined) {
    const offset = spec.offsetMs ?? 0;
    return (Math.floor((after - offset) / spec.everyMs) + 1) * spec.everyMs + offset;
  }
  return spec.at !== undefined && spec.at > after ? spec.at : undefined;
}

/** The last time at or before `until`, without regard to `startAt` and `endAt`. */
function preceding(spec: ScheduleDefinition, until: number): number | undefined {
  // croner wants the time that the run is before, not at.
  if (spec.cron !== undefined) {
    return cronOf(spec.cron, spec.timeZone ?? 'UTC')
      .previousRuns(1, new Date(until + 1_000))[0]
      ?.getTime();
  }
  if (spec.everyMs !== undefined) {
    const offset = spec.offsetMs ?? 0;
    return Math.floor((until - offset) / spec.everyMs) * spec.everyMs + offset;
  }
  return spec.at !== undefined && spec.at <= until ? spec.at : undefined;
}

/** The schedule's first time after `after`, ms since the epoch; undefined when there is none. */
export function nextTime(spec: ScheduleDefinition, after: number): number | undefined {
  const from = Math.max(after, (spec.startAt ?? Number.NEGATIVE_INFINITY) - 1);
  if (from >= MAX_TIME) return undefined;
  const next = following(spec, from);
  return next === undefined || next > (spec.endAt ?? MAX_TIME) ? undefined : next;
}

/** The schedule's last time at or before `until`; undefined when there is none. */
export function latestTime(spec: ScheduleDefinition, until: number): number | undefined {
  const to = Math.min(until, spec.endAt ?? MAX_TIME);
  let last = preceding(spec, to);
  // What a shift moved may lie beyond what counting back takes it for: the way forward decides.
  if (last !== undefined && last > to) last = preceding(spec, last - 1_000);
  for (let next = last === undefined ? undefined : following(spec, last); next !== undefined && next <= to; ) {
    last = next;
    next = following(spec, last);
  }
  return last === undefined || last < (spec.startAt ?? Number.NEGATIVE_INFINITY) ? undefined : last;
}

/** When the run of a time is to begin: the time, and the jitter that follows from it. */
export function dueTime(workflow: string, spec: ScheduleDefinition, time: number): number {
  const { jitterMs = 0, name } = spec;
  return jitterMs === 0 ? time : time + Math.floor(derivedFraction('jitter', workflow, name, time) * jitterMs);
}
