/** Whether schedules start when they should. Pure. */
import type { LineState } from '../../schedules/index.ts';
import { type Finding, ok, warn } from './finding.ts';

/** A start that is so much overdue is late. */
export const LATE_MS = 30_000;

export const isLate = ({ next }: Pick<LineState, 'next'>, now: number): boolean =>
  next !== undefined && now > next.due + LATE_MS;

/** Nothing where there are none. @param now ms since the epoch */
export function judgeSchedules(lines: readonly LineState[], now: number): readonly Finding[] {
  const schedules = lines.filter(({ spec }) => spec !== undefined);
  const late = schedules.filter((line) => isLate(line, now));
  if (schedules.length === 0) return [];
  if (late.length === 0) return [ok('nats', `schedules: ${schedules.length}, none of them is late`)];
  const names = late.map(({ workflow, line }) => `${workflow}/${line}`).join(', ');
  const means = 'what was due has not been started; it will be, by its catch-up policy';
  return [
    warn('nats', `schedules that are late: ${names}`, means, 'see that a controller runs, and what its log says'),
  ];
}
