/**
 * Transitions: everything a run's log can say. A log entry holds all transitions that one input caused, in order.
 * Old journals are a contract: a field may be added as optional; a meaning may not change (see upcast.ts).
 */
import type { Json } from '../../kernel/index.ts';
import type { Attributes, Failure, FlowState, Parent, RunEnding, Slot, Source, TraceContext } from './inputs.ts';

export type Transition =
  | {
      readonly type: 'RunStarted';
      readonly digest: string;
      readonly payload: Json;
      readonly source?: Source;
      /** Durable functions leave it out when nobody gave one: it is derived from the run id by whoever needs it. */
      readonly trace?: TraceContext;
      readonly by?: string;
      /** Durable functions: the worker that executes the run. */
      readonly worker?: string;
      /** Durable functions: the inbox where whoever started the run waits for its end. */
      readonly notify?: string;
      readonly parent?: Parent;
      readonly attributes?: Attributes;
      /** 1 (first) to 5. */
      readonly priority?: number;
      /** Durable functions: the version of the code that began it. */
      readonly version?: string;
    }
  /** It waits for slots of these limits before its first step; comes right behind `RunStarted`. */
  | { readonly type: 'RunQueued'; readonly limits: readonly { readonly limit: string; readonly key: string }[] }
  /** A slot is the run's until it ends, or the attempt's that is named until that ends. */
  | { readonly type: 'SlotGranted'; readonly slot: Slot; readonly step?: string; readonly attempt?: number }
  /** All slots are there: it begins. */
  | { readonly type: 'RunAdmitted' }
  /** Durable functions: another worker executes the run from here on; its former one must let go of it. */
  | {
      readonly type: 'RunClaimed';
      readonly worker: string;
      /** The version of that worker's code. */
      readonly version?: string;
    }
  /** Durable functions: nothing of the run executes anywhere; its next input wakes it. */
  | { readonly type: 'RunSuspended' }
  | {
      readonly type: 'StepScheduled';
      readonly step: string;
      readonly attempt: number;
      readonly input: Json;
      /** When the first attempt was scheduled, if the policy limits the time of all attempts. */
      readonly since?: number;
      /** The step is a child run. */
      readonly child?: ChildRef;
    }
  /**
   * Durable functions: the child run has ended, as recorded by a process that does not execute its parent. Whoever does makes
   * the step's result of it. Declared workflows: it has ended badly; what that means to the step comes right behind.
   */
  | {
      readonly type: 'ChildEnded';
      readonly step: string;
      readonly attempt: number;
      readonly runId: string;
      readonly ending: RunEnding;
    }
  /** `forEach`: the step has so many items, each a step of its own named `<step>#<index from 1>`. */
  | {
      readonly type: 'StepFannedOut';
      readonly step: string;
      readonly attempt: number;
      readonly count: number;
      /** A failed item does not fail the step. Its `StepCompleted` carries no output: the list is folded from the items. */
      readonly collect?: true;
    }
  /** The last known progress of an attempt that is out. */
  | { readonly type: 'StepHeartbeat'; readonly step: string; readonly attempt: number; readonly details?: Json }
  | {
      readonly type: 'StepStarted';
      readonly step: string;
      readonly attempt: number;
      readonly worker: string;
      /** When it began, if that was told later, with its end; the entry's time otherwise. */
      readonly startedAt?: number;
    }
  | {
      readonly type: 'FlowStateChanged';
      readonly step: string;
      readonly attempt: number;
      readonly flowRunId: string;
      readonly state: FlowState;
      readonly source: 'host' | 'events' | 'reconcile';
    }
  | {
      readonly type: 'StepRetryScheduled';
      readonly step: string;
      /** The attempt that failed. */
      readonly attempt: number;
      readonly error: Failure;
      readonly retryAt: number;
      /** Durable functions: see `StepScheduled`. */
      readonly since?: number;
    }
  | {
      readonly type: 'StepCompleted';
      readonly step: string;
      readonly attempt: number;
      readonly output: Json;
      /** It is compensated by a step `undo:<step>` should the run fail or be cancelled. */
      readonly undo?: true;
    }
  | { readonly type: 'StepFailed'; readonly step: string; readonly attempt: number; readonly error: Failure }
  /** All its attempts are used up, or none can help, and its policy is to wait for a person. The run stays open. */
  | { readonly type: 'StepPaused'; readonly step: string; readonly attempt: number; readonly error: Failure }
  /** A person says that it may go on: it is pending again, with its attempts and failures counted anew. */
  | { readonly type: 'StepResumed'; readonly step: string; readonly by?: string }
  | { readonly type: 'StepSkipped'; readonly step: string; readonly reason: string }
  | {
      readonly type: 'StepCancelled';
      readonly step: string;
      readonly attempt: number;
      readonly reason: string;
      /** The run was killed: so is a child run that the attempt is. */
      readonly killed?: true;
    }
  | { readonly type: 'TimerSet'; readonly timer: string; readonly at: number }
  | { readonly type: 'TimerFired'; readonly timer: string }
  | { readonly type: 'TimerCancelled'; readonly timer: string }
  | { readonly type: 'SleepStarted'; readonly step: string; readonly attempt: number }
  | { readonly type: 'SignalAwaited'; readonly step: string; readonly attempt: number; readonly name: string }
  | { readonly type: 'SignalReceived'; readonly name: string; readonly payload: Json; readonly by?: string }
  | { readonly type: 'SignalConsumed'; readonly name: string; readonly step: string }
  /** Search attributes; each replaces the one of its name, `null` takes it away. */
  | { readonly type: 'AttributesSet'; readonly attributes: Attributes }
  /** Durable functions: `ctx.patched(id)` said true here and says so in every replay. */
  | { readonly type: 'PatchApplied'; readonly id: string }
  | {
      readonly type: 'UpdateReceived';
      readonly id: string;
      readonly name: string;
      readonly payload: Json;
      readonly by?: string;
      readonly notify?: string;
    }
  | { readonly type: 'UpdateEnded'; readonly id: string; readonly output?: Json; readonly error?: Failure }
  /**
   * It is to end: no step begins any more. What is out has until the timer `grace/<retries>` to end, then what was done is
   * compensated by steps named `undo:<step>`, the last first; then comes `RunFailed` or `RunCancelled`.
   */
  | {
      readonly type: 'RunClosing';
      readonly outcome: 'failed' | 'cancelled';
      readonly error?: Failure;
      /** The step that failed. */
      readonly step?: string;
      readonly reason?: string;
      readonly by?: string;
      /** How long the attempts that are out may take to end. */
      readonly graceMs?: number;
    }
  /**
   * Continue-as-new: the run begins again with this payload and nothing of its history but the signals that wait, its
   * attributes, parent and starter. Entries before this one are not needed any more.
   */
  | {
      readonly type: 'RunContinued';
      readonly payload: Json;
      readonly generation: number;
      readonly digest?: string;
      /** What the run keeps, all of it: with it no entry before this one is needed. */
      readonly carried?: Carried;
    }
  /** From here on the run is decided by this definition (ADR 0024). */
  | { readonly type: 'RunMoved'; readonly digest: string; readonly by?: string }
  /** `output`: what a durable function returned, or what a declared workflow's `output` gave; else see its steps. */
  | { readonly type: 'RunCompleted'; readonly output?: Json }
  | { readonly type: 'RunFailed'; readonly error: Failure; readonly step?: string }
  | { readonly type: 'RunCancelled'; readonly reason: string; readonly by?: string; readonly killed?: true }
  | { readonly type: 'RunRetried'; readonly steps: readonly string[]; readonly by?: string };

/** What a run that begins again keeps: see `RunContinued`. */
export interface Carried {
  readonly source?: Source;
  readonly trace?: TraceContext;
  readonly by?: string;
  readonly notify?: string;
  readonly parent?: Parent;
  readonly attributes?: Attributes;
  readonly priority?: number;
  readonly slots?: readonly Slot[];
  readonly version?: string;
  readonly worker?: string;
  readonly retries: number;
  /** Signals that wait, oldest first. */
  readonly signals: readonly { readonly name: string; readonly payload: Json }[];
  /** Updates that have not ended, by id. */
  readonly updates?: Readonly<
    Record<string, { readonly name: string; readonly payload: Json; readonly notify?: string }>
  >;
}

/** A child run, and what becomes of it when its parent's step is cancelled or killed. */
export interface ChildRef {
  readonly workflow: string;
  readonly runId: string;
  readonly onClose: 'cancel' | 'abandon';
  /** false: the step completes with `{runId}` as soon as the child is started. */
  readonly wait: boolean;
}

/** The value of one message on `wf.<workflow>.log.<runId>`. */
export interface LogEntry {
  readonly v: 1;
  /** Sequence of the input that caused it. */
  readonly cause: number;
  /** The input's server time: the journal's time of these transitions. */
  readonly at: number;
  readonly transitions: readonly Transition[];
}

/** A log entry with its own sequence in the stream. */
export interface StoredEntry extends LogEntry {
  readonly seq: number;
}
