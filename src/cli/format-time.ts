/** Times for people. UTC throughout: two people who talk about one run must read the same clock. Pure. */
import { formatDuration } from '../kernel/index.ts';

/** `2026-01-31 12:00:00Z` */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

/** `12:00:00.123` */
export function formatClock(ms: number): string {
  return new Date(ms).toISOString().slice(11, 23);
}

/** `3m05s ago`, `in 2.4s` */
export function formatRelative(ms: number, now: number): string {
  return ms <= now ? `${formatDuration(now - ms)} ago` : `in ${formatDuration(ms - now)}`;
}

/** How long something took, or has been going on; empty when it has not begun. */
export function formatTook(from: number | undefined, to: number | undefined, now: number): string {
  if (from === undefined) return '';
  return to === undefined ? `${formatDuration(Math.max(0, now - from))} …` : formatDuration(Math.max(0, to - from));
}

/** `1 file`, `2 files`, `0 files` */
export const counted = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

/** At most `length` characters on one line. */
export function oneLine(text: string, length = 80): string {
  const flat = text.replace(/\s+/g, ' ').trim();
  return flat.length <= length ? flat : `${flat.slice(0, length - 1)}…`;
}
