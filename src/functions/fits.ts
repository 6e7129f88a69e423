/** Does code still fit a journal that other code wrote? One question for both kinds of workflow. */
import type { Definition, InputBody, RunRef, StoredEntry } from '../engine/index.ts';
import { verifyRun } from '../replay/index.ts';
import { replayFunction } from './replaying.node.ts';
import type { ServedFunction } from './types.ts';

/** An input of a history. */
export interface HistoryInput {
  readonly seq: number;
  /** Server time of storing, ms since the epoch. */
  readonly at: number;
  /** undefined: it cannot be read, and became a dead letter. */
  readonly body: InputBody | undefined;
}

/** The journal of a run: its log, and what was sent to it, oldest first. */
export interface RunHistory extends RunRef {
  readonly entries: readonly StoredEntry[];
  /** What a declared workflow is decided again from; a durable function needs none. */
  readonly inputs: readonly HistoryInput[];
}

/** A durable function, or the definition of a declared workflow. */
export type Code = ServedFunction | Definition;

/** What came of replaying a history. */
export interface Fit extends RunRef {
  readonly fits: boolean;
  /** Recorded results given back, or log entries decided again. */
  readonly replayed: number;
  /** Why it does not fit: recorded against asked. */
  readonly reason?: string;
}

/**
 * Replays a history with code that may be newer than what wrote it: a function is executed on its recorded results, read-only; a
 * definition decides every recorded input again. Never rejects for what it finds.
 */
export async function replayHistory(history: RunHistory, code: Code): Promise<Fit> {
  const { workflow, runId, entries, inputs } = history;
  const run = { workflow, runId };
  if ('run' in code) {
    const { identical, results, reason } = await replayFunction(code, run, entries);
    return { ...run, fits: identical, replayed: results, ...(reason === undefined ? {} : { reason }) };
  }
  const bodies = new Map(inputs.map(({ seq, body }) => [seq, body]));
  const stored = inputs.map(({ seq, at }) => ({ run, seq, at, data: new Uint8Array(), headers: {} }));
  const found = verifyRun(
    { run, entries, inputs: stored },
    ({ seq }) => bodies.get(seq),
    () => code,
  );
  if (found.divergence === undefined) return { ...run, fits: true, replayed: found.entries };
  const lines = found.divergence.diff.map(({ side, text }) => `\n  ${side} ${text}`);
  return { ...run, fits: false, replayed: found.entries, reason: `${found.divergence.message}${lines.join('')}` };
}
