/** Statuses in colour. The word always stands beside the colour. Pure. */
import type { Colors } from './colors.ts';

const GOOD = new Set(['completed', 'ok']);
const BAD = new Set(['failed', 'lost', 'fail']);
const BUSY = new Set(['running', 'scheduled', 'backoff', 'waiting', 'paused', 'warn']);

export function formatStatus(status: string, c: Colors): string {
  if (GOOD.has(status)) return c.green(status);
  if (BAD.has(status)) return c.red(status);
  if (BUSY.has(status)) return c.yellow(status);
  return c.dim(status);
}
