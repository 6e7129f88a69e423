/** Names of timers: each names one waiting of one attempt, so that a late firing cannot be taken for another's. */

export type TimerName =
  | { readonly kind: 'run'; readonly retries: number }
  | { readonly kind: 'timeout' | 'retry' | 'sleep' | 'signal'; readonly step: string; readonly attempt: number };

/** The id of a timer, e.g. `timeout/validate/1`, `run/0`. */
export function timerId(timer: TimerName): string {
  return timer.kind === 'run' ? `run/${timer.retries}` : `${timer.kind}/${timer.step}/${timer.attempt}`;
}

/** The timer an id names; undefined for an id this version does not know. */
export function parseTimer(id: string): TimerName | undefined {
  const [kind, a, b] = id.split('/');
  if (kind === 'run') return { kind, retries: Number(a) };
  if (a === undefined || b === undefined) return undefined;
  if (kind === 'timeout' || kind === 'retry' || kind === 'sleep' || kind === 'signal') {
    return { kind, step: a, attempt: Number(b) };
  }
  return undefined;
}
