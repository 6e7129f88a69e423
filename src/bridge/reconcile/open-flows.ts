/**
 * Which attempts need watching: a projection over the logs of all runs. Pure; the adapter feeds it entries.
 *
 *   O1 an attempt that is open is in it;
 *   O2 an attempt that is over stays until somebody has seen in Prefect that both sides agree (`settle`);
 *   O3 it is a hint: built again from the streams at every start, never stored.
 */
import type { StoredEntry } from '../../engine/index.ts';
import type { ReconcileKey } from '../key.ts';
import { type Attempt, attemptId, foldAttempts, NO_ATTEMPTS, type RunAttempts } from './attempts.ts';

export interface WatchedAttempt {
  readonly key: ReconcileKey;
  readonly digest: string;
  readonly attempt: Attempt;
}

export interface OpenFlows {
  /** Every attempt to look at, also those of steps that are not Prefect's: the definition tells. */
  watched(): Iterable<WatchedAttempt>;
  /** Both sides agree on an attempt that is over, or it was never Prefect's business. */
  settle(key: ReconcileKey): void;
}

/** An end that the log has known for so long, with a matching report, was seen by whoever was watching then. */
const OLD_MS = 600_000;

interface Watched {
  readonly run: RunAttempts;
  readonly closed: boolean;
}

export class OpenFlowsOfWorkflow implements OpenFlows {
  readonly #workflow: string;
  readonly #runs = new Map<string, Watched>();

  constructor(workflow: string) {
    this.#workflow = workflow;
  }

  /** @param now ms since the epoch, to tell old ends (a replay of the whole stream) from fresh ones */
  apply(runId: string, entry: Pick<StoredEntry, 'at' | 'transitions'>, now: number): void {
    const before = this.#runs.get(runId);
    const next = foldAttempts(before?.run ?? NO_ATTEMPTS, entry);
    const attempts = new Map([...next.attempts].filter(([, attempt]) => !isOld(attempt, now)));
    let closed = before?.closed ?? false;
    for (const { type } of entry.transitions) closed = ENDS.has(type) || (closed && type !== 'RunRetried');
    this.#keep(runId, { run: { ...next, attempts }, closed });
  }

  *watched(): Iterable<WatchedAttempt> {
    for (const [runId, { run }] of this.#runs) {
      for (const attempt of run.attempts.values()) {
        const key = { workflow: this.#workflow, runId, step: attempt.step, attempt: attempt.attempt };
        yield { key, digest: run.digest, attempt };
      }
    }
  }

  settle(key: ReconcileKey): void {
    const watched = this.#runs.get(key.runId);
    if (watched === undefined) return;
    const attempts = new Map(watched.run.attempts);
    attempts.delete(attemptId(key.step, key.attempt));
    this.#keep(key.runId, { ...watched, run: { ...watched.run, attempts } });
  }

  /** A run that goes on is kept without attempts too: its digest is needed for the next one. */
  #keep(runId: string, watched: Watched): void {
    if (watched.closed && watched.run.attempts.size === 0) this.#runs.delete(runId);
    else this.#runs.set(runId, watched);
  }
}

const ENDS: ReadonlySet<string> = new Set(['RunCompleted', 'RunFailed', 'RunCancelled']);
const MATCHING = { completed: 'COMPLETED', failed: 'FAILED', lost: 'CRASHED', cancelled: 'CANCELLED' } as const;

function isOld({ verdict, endedAt, flow }: Attempt, now: number): boolean {
  if (verdict === 'open' || endedAt === undefined || now - endedAt < OLD_MS) return false;
  return flow === undefined || flow.state.type === MATCHING[verdict];
}
