/** Names of timers: each names one waiting of one attempt, so that a late firing cannot be taken for another's. */

export type TimerName =
  /** `grace`: work that is out at a cancel has until then to end. */
  | { readonly kind: 'run' | 'grace'; readonly retries: number }
  /**
   * `timeout`: longest time of an attempt; `queue`: until it has begun; `heartbeat`: until it is heard of again;
   * `items`: at once, since the items of a fan-out that are to begin are too many for one entry; its step is the next item.
   */
  | { readonly kind: StepTimer; readonly step: string; readonly attempt: number };

const STEP_TIMERS = ['timeout', 'queue', 'heartbeat', 'retry', 'sleep', 'signal', 'items'] as const;
export type StepTimer = (typeof STEP_TIMERS)[number];

/** The id of a timer, e.g. `timeout/validate/1`, `run/0`. */
export function timerId(timer: TimerName): string {
  return 'retries' in timer ? `${timer.kind}/${timer.retries}` : `${timer.kind}/${timer.step}/${timer.attempt}`;
}

/** The timer an id names; undefined for an id this version does not know. */
export function parseTimer(id: string): TimerName | undefined {
  const [kind, a, b] = id.split('/');
  if (kind === 'run' || kind === 'grace') return { kind, retries: Number(a) };
  if (a === undefined || b === undefined) return undefined;
  const known = STEP_TIMERS.find((one) => one === kind);
  return known === undefined ? undefined : { kind: known, step: a, attempt: Number(b) };
}
