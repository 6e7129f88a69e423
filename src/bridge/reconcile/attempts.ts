/**
 * What a run's log says of each attempt: the wanted side of the comparison. Pure.
 *
 * The engine's state keeps the latest attempt of a step only; both sides must agree on every attempt, and on whether one
 * failed or was lost. So this is a second fold over the same transitions, for this one question.
 */
import type { Failure, FlowBinding, StoredEntry, TraceContext, Transition } from '../../engine/index.ts';

/** How an attempt stands in the log. */
export type Verdict = 'open' | 'completed' | 'failed' | 'lost' | 'cancelled';

export interface Attempt {
  readonly step: string;
  readonly attempt: number;
  readonly verdict: Verdict;
  readonly scheduledAt: number;
  /** When the verdict fell; undefined while it is open. */
  readonly endedAt?: number;
  /** The run is being closed, and has told the attempt to stop: why. */
  readonly stopping?: string;
  readonly error?: Failure;
  /** The flow run and the last state of it that the log knows. */
  readonly flow?: FlowBinding;
}

/** The attempts of a run. */
export interface RunAttempts {
  readonly digest: string;
  readonly trace?: TraceContext;
  /** By {@link attemptId}. */
  readonly attempts: ReadonlyMap<string, Attempt>;
}

export const NO_ATTEMPTS: RunAttempts = { digest: '', attempts: new Map() };

export function attemptId(step: string, attempt: number): string {
  return `${step}/${attempt}`;
}

function end(t: Transition): { readonly verdict: Verdict; readonly error?: Failure } | undefined {
  switch (t.type) {
    case 'StepCompleted':
      return { verdict: 'completed' };
    case 'StepFailed':
    case 'StepRetryScheduled':
    case 'StepPaused':
      return { verdict: t.error.lost ? 'lost' : 'failed', error: t.error };
    case 'StepCancelled':
      return { verdict: 'cancelled' };
    default:
      return undefined;
  }
}

function changed(known: ReadonlyMap<string, Attempt>, t: Transition, at: number): Attempt | undefined {
  if (!('step' in t) || !('attempt' in t) || t.step === undefined) return undefined;
  const { step, attempt } = t;
  if (t.type === 'StepScheduled') return { step, attempt, verdict: 'open', scheduledAt: at };
  const before = known.get(attemptId(step, attempt));
  if (before === undefined) return undefined; // sleeps, signals, steps that failed before their first attempt
  if (t.type === 'FlowStateChanged') return { ...before, flow: { flowRunId: t.flowRunId, state: t.state } };
  const ended = end(t);
  return ended === undefined || before.verdict !== 'open' ? undefined : { ...before, ...ended, endedAt: at };
}

function tellToStop(attempts: Map<string, Attempt>, stopping: string): void {
  for (const [id, attempt] of attempts) if (attempt.verdict === 'open') attempts.set(id, { ...attempt, stopping });
}

/** The attempts after one more log entry. */
export function foldAttempts(run: RunAttempts, entry: Pick<StoredEntry, 'at' | 'transitions'>): RunAttempts {
  const attempts = new Map(run.attempts);
  let { digest, trace } = run;
  for (const t of entry.transitions) {
    if (t.type === 'RunStarted') ({ digest, trace } = t);
    if (t.type === 'RunClosing' && t.graceMs !== undefined) tellToStop(attempts, t.reason ?? 'the run is cancelled');
    const next = changed(attempts, t, entry.at);
    if (next !== undefined) attempts.set(attemptId(next.step, next.attempt), next);
  }
  return { digest, attempts, ...(trace === undefined ? {} : { trace }) };
}

/** The attempts that a whole log tells of. */
export function attemptsOf(entries: readonly Pick<StoredEntry, 'at' | 'transitions'>[]): RunAttempts {
  return entries.reduce(foldAttempts, NO_ATTEMPTS);
}
