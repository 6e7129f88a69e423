import { MillraceError } from './errors.ts';

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const PART = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/y;

/**
 * Milliseconds of a duration such as `250ms`, `1.5s`, `10m`, `1h30m`, `7d`.
 * @throws MillraceError MR_INPUT_INVALID when the text is not a duration
 */
export function parseDuration(text: string): number {
  const total = tryParseDuration(text);
  if (total === undefined) {
    throw new MillraceError('MR_INPUT_INVALID', `"${text}" is not a duration`, {
      hint: 'write a number and a unit, for example 250ms, 30s, 10m, 1h30m or 7d',
    });
  }
  return total;
}

/** As {@link parseDuration}, but `undefined` when the text is not a duration. */
export function tryParseDuration(text: string): number | undefined {
  let total = 0;
  let index = 0;
  while (index < text.length) {
    PART.lastIndex = index;
    const match = PART.exec(text);
    if (match === null) return undefined;
    total += Number(match[1]) * UNITS[match[2] as keyof typeof UNITS];
    index = PART.lastIndex;
  }
  return text.length === 0 ? undefined : Math.round(total);
}

/** A duration for people: `850ms`, `2.4s`, `3m05s`, `2h10m`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)}s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes}m${String(Math.floor((ms % 60_000) / 1_000)).padStart(2, '0')}s`;
  return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`;
}
