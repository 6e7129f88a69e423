/** What the owner of an execution gives it, and is told by it. Types only. */
import type { StoredEntry } from '../engine/index.ts';
import type { Recall } from './recall.ts';
import type { ExecutionPorts } from './runtime.ts';
import type { HeldInput } from './tail.ts';
import type { Ending } from './types.ts';

/** Why an execution does not go on in this process. */
export interface Loss {
  /** The entry of the worker that has the run now, or that ended it. */
  readonly by?: StoredEntry;
  /** What failed here; the run is as the log says. */
  readonly error?: unknown;
  /** Inputs it held whose transitions are not in the log. */
  readonly unrecorded: readonly HeldInput[];
}

/** What the owner of executions is told. */
export interface ExecutionOwner<E> {
  /** F6: nothing of it executes; its held inputs are done. */
  readonly rested: (execution: E) => void;
  /** `unrecorded`: inputs that came while it was ending. */
  readonly ended: (execution: E, ending: Ending, unrecorded: readonly HeldInput[]) => void;
  readonly lost: (execution: E, why: Loss) => void;
}

export interface ExecutionOptions<E> {
  readonly worker: string;
  readonly ports: ExecutionPorts;
  readonly owner: ExecutionOwner<E>;
  readonly recalled: Recall;
  /** Sequence of the input it begins with. */
  readonly cause: number;
  /** The server's time of that input, ms since the epoch. */
  readonly at: number;
}
