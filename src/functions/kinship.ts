/** What runs know of each other, and say to each other. Types only. */
import type { Attributes, ChildRef, Parent, RunEnding, RunRef, Source, TraceContext } from '../engine/index.ts';
import type { Json } from '../kernel/index.ts';
import type { TraceHeaders } from '../telemetry/index.ts';

/** Where a run comes from, and what it was given besides its payload: its `RunStarted`, or its state. */
export interface Origin {
  readonly source?: Source;
  readonly trace?: TraceContext;
  readonly by?: string;
  readonly notify?: string;
  readonly parent?: Parent;
  readonly attributes?: Attributes;
  readonly priority?: number;
}

export interface ChildStart {
  readonly run: RunRef;
  /** The run's id was made for this start. */
  readonly own: boolean;
  readonly payload: Json;
  readonly parent: Parent;
  readonly trace: TraceHeaders;
}

/** Words between runs; each may be said again. */
export interface Family {
  /**
   * Resolves when the start is stored.
   * @throws MillraceError MR_WORKFLOW_MISSING, MR_PAYLOAD_TOO_LARGE, MR_NATS
   */
  start(child: ChildStart): Promise<void>;
  /** Ends children. */
  close(parent: RunRef, children: readonly ChildRef[], reason: string, kill: boolean): Promise<void>;
  /** Tells the parent how its child has ended. */
  tell(child: RunRef, parent: Parent, ending: RunEnding): Promise<void>;
}
