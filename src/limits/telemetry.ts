/** What a keeper counts. */
import type { Telemetry } from '../telemetry/index.ts';
import { type LimitState, type LimitTransition, nameOf } from './model/index.ts';

/** @param before the state before the transitions */
export function count({ metrics }: Telemetry, before: LimitState, transitions: readonly LimitTransition[]): void {
  const { limit } = before;
  const since = new Map<string, number>();
  const askedAt = (holder: Parameters<typeof nameOf>[0]): number | undefined =>
    since.get(nameOf(holder)) ?? before.waiting.find((one) => nameOf(one.holder) === nameOf(holder))?.since;
  for (const t of transitions) {
    switch (t.type) {
      case 'Asked':
        since.set(nameOf(t.holder), t.since);
        break;
      case 'Granted': {
        const from = askedAt(t.holder);
        if (from !== undefined)
          metrics.observe('millrace_limits_wait_seconds', Math.max(0, t.at - from) / 1_000, { limit });
        metrics.count('millrace_limits_decided_total', { limit, outcome: 'granted' });
        break;
      }
      case 'Refused':
        metrics.count('millrace_limits_decided_total', { limit, outcome: 'refused' });
        break;
      case 'Revoked':
        metrics.count('millrace_limits_decided_total', { limit, outcome: 'revoked' });
        break;
      case 'Freed':
      case 'Left':
        if (t.why !== undefined) metrics.count('millrace_limits_decided_total', { limit, outcome: t.why });
        break;
      default:
    }
  }
}
