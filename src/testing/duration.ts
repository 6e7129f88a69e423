/** Durations as people say them. Pure. */
import { MillraceError, parseDuration } from '../kernel/index.ts';

const UNITS: Readonly<Record<string, string>> = {
  millisecond: 'ms',
  second: 's',
  sec: 's',
  minute: 'm',
  min: 'm',
  hour: 'h',
  day: 'd',
};
const WEEK_DAYS = 7;

/**
 * Milliseconds of a number of them, of `3 days`, `1 hour 30 minutes`, `2 weeks`, or of what manifests take (`1h30m`).
 * @throws MillraceError MR_INPUT_INVALID
 */
export function durationOf(duration: number | string): number {
  if (typeof duration === 'number') {
    if (duration >= 0 && Number.isFinite(duration)) return duration;
    throw new MillraceError('MR_INPUT_INVALID', `${duration} ms is not a duration`, { hint: 'give 0 or more ms' });
  }
  const short = duration
    .replace(/([\d.]+)\s*weeks?\b/g, (_, count: string) => `${Number(count) * WEEK_DAYS}d`)
    .replace(/([a-z]+?)s?\b/g, (word: string, unit: string) => UNITS[unit] ?? word)
    .replace(/\s+|,|\band\b/g, '');
  return parseDuration(short);
}
