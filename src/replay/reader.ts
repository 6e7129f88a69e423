/** What listings and replays read. The adapter is reader.jetstream.ts. */
import type { RunRef, StoredEntry } from '../engine/index.ts';

export interface RunReader {
  /** Workflows that have a stream, whether or not their definition still stands; sorted. */
  workflows(): Promise<readonly string[]>;
  /** All runs with a log of these workflows (all workflows without). */
  runs(workflow?: string): Promise<readonly RunRef[]>;
  /** Digests that starts of the workflow name which have not been decided yet. */
  digestsOfWaiting(workflow: string): Promise<readonly string[]>;
  /** True when the run has a log. */
  has(run: RunRef): Promise<boolean>;
  /**
   * Every log entry of the workflow that was stored when the call began, oldest first.
   * @throws MillraceError MR_JOURNAL_CORRUPT for an entry that cannot be read
   */
  entries(workflow: string, signal?: AbortSignal): AsyncIterable<{ readonly run: RunRef; readonly entry: StoredEntry }>;
}
