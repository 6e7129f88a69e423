/** What the engine's shell asks of others: ports whose adapters live in other folders. */
import type { TraceHeaders } from '../../telemetry/index.ts';

/** Names one attempt of a Prefect step: the identity that is queued, never an event. */
export interface ReconcileKey {
  readonly workflow: string;
  readonly runId: string;
  readonly step: string;
  readonly attempt: number;
}

/** How one look at a key ended: the only thing that decides whether and when it is looked at again. */
export type Outcome =
  /** Both sides say the same, or somebody else will bring news. */
  | { readonly kind: 'done' }
  /** Look again after so many ms: something has been set in motion. */
  | { readonly kind: 'after'; readonly ms: number }
  /** Something outside was not there; look again with backoff. */
  | { readonly kind: 'retry'; readonly reason: string }
  /** Looking again cannot help; a person must. */
  | { readonly kind: 'terminal'; readonly reason: string };

/** A queue of keys that are to be looked at. It is a hint: what it loses, the sweep finds. */
export interface ReconcileQueue {
  /**
   * Asks for a look at the key; a key that waits already is not queued twice. Fails within seconds.
   * @throws MillraceError MR_REDIS_UNREACHABLE when the queue cannot take it
   */
  enqueue(
    key: ReconcileKey,
    options?: { readonly delayMs?: number | undefined; readonly trace?: TraceHeaders | undefined },
  ): Promise<void>;
  /** Hands keys to `handler`, never one key twice at once; requeues by the outcome. */
  consume(
    handler: (key: ReconcileKey, trace?: TraceHeaders) => Promise<Outcome>,
    options: { readonly concurrency: number },
  ): Promise<{ stop(): Promise<void> }>;
  close(): Promise<void>;
}
