/** What the reconciler needs besides Prefect and the journal. */
import type { CancelMessage, Definition, DispatchMessage, ReconcileQueue } from '../../engine/index.ts';
import type { Queued } from './diff.ts';

/** Where definitions are looked up; `manifests`' DefinitionStore is one. */
export interface DefinitionSource {
  byDigest(name: string, digest: string): Promise<Definition | undefined>;
  list(): Promise<readonly Definition[]>;
}

/** The way to flow hosts. Adapter: dispatches.jetstream.ts. */
export interface Dispatches {
  /** Stores the dispatch; the same `n` of the same flow run is stored once. */
  publish(pool: string, message: DispatchMessage, n: number): Promise<void>;
  /** Tells whoever runs the attempt to stop; nobody may be listening. */
  cancel(message: CancelMessage): void;
  /** What is on the queue, by flow run. At most a second old. */
  queued(): Promise<ReadonlyMap<string, Queued>>;
}

export const NOT_QUEUED: Queued = { run: false, collect: false };

/** A reconcile queue that can be asked whether it works. */
export interface CheckedQueue extends ReconcileQueue {
  /** @throws MillraceError MR_REDIS_UNREACHABLE when it cannot take keys now */
  ping(): Promise<void>;
}
