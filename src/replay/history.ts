/** A run's log as a history to read, and its state at any point of it. Pure. */
import {
  fold,
  type InputBody,
  type RunRef,
  type RunState,
  type StoredEntry,
  type Transition,
} from '../engine/index.ts';
import { transitionText } from './transition-text.ts';

/** One transition with its time and its cause. */
export interface HistoryLine {
  /** Sequence of the log entry. */
  readonly seq: number;
  readonly at: number;
  /** Sequence of the input that caused it. */
  readonly cause: number;
  /** What that input was: `start`, `task.succeeded`, ... as far as it can still be read. */
  readonly causeKind?: string;
  readonly transition: Transition;
  /** A sentence for people. */
  readonly text: string;
}

/** Every transition of the log, oldest first. `kinds` tells what the inputs were. */
export function historyOf(
  entries: readonly StoredEntry[],
  kinds: ReadonlyMap<number, InputBody['kind']> = new Map(),
): readonly HistoryLine[] {
  return entries.flatMap(({ seq, at, cause, transitions }) => {
    const kind = kinds.get(cause);
    return transitions.map((transition) => ({
      seq,
      at,
      cause,
      ...(kind === undefined ? {} : { causeKind: kind }),
      transition,
      text: transitionText(transition, at),
    }));
  });
}

/** The state after the last entry whose sequence is at or below `seq`. */
export function stateAt(run: RunRef, entries: readonly StoredEntry[], seq: number): RunState {
  return fold(
    run.workflow,
    run.runId,
    entries.filter((entry) => entry.seq <= seq),
  );
}
