/**
 * Transitions: everything a run's log can say. A log entry holds all transitions that one input caused, in order.
 * Old journals are a contract: a field may be added as optional; a meaning may not change (see upcast.ts).
 */
import type { Json } from '../../kernel/index.ts';
import type { Failure, FlowState, Source, TraceContext } from './inputs.ts';

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
    }
  /** Durable functions: another worker executes the run from here on; its former one must let go of it. */
  | { readonly type: 'RunClaimed'; readonly worker: string }
  /** Durable functions: nothing of the run executes anywhere; its next input wakes it. */
  | { readonly type: 'RunSuspended' }
  | { readonly type: 'StepScheduled'; readonly step: string; readonly attempt: number; readonly input: Json }
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
    }
  | { readonly type: 'StepCompleted'; readonly step: string; readonly attempt: number; readonly output: Json }
  | { readonly type: 'StepFailed'; readonly step: string; readonly attempt: number; readonly error: Failure }
  | { readonly type: 'StepSkipped'; readonly step: string; readonly reason: string }
  | { readonly type: 'StepCancelled'; readonly step: string; readonly attempt: number; readonly reason: string }
  | { readonly type: 'TimerSet'; readonly timer: string; readonly at: number }
  | { readonly type: 'TimerFired'; readonly timer: string }
  | { readonly type: 'TimerCancelled'; readonly timer: string }
  | { readonly type: 'SleepStarted'; readonly step: string; readonly attempt: number }
  | { readonly type: 'SignalAwaited'; readonly step: string; readonly attempt: number; readonly name: string }
  | { readonly type: 'SignalReceived'; readonly name: string; readonly payload: Json; readonly by?: string }
  | { readonly type: 'SignalConsumed'; readonly name: string; readonly step: string }
  /** `output`: what a durable function returned; declared workflows have the outputs of their steps instead. */
  | { readonly type: 'RunCompleted'; readonly output?: Json }
  | { readonly type: 'RunFailed'; readonly error: Failure; readonly step?: string }
  | { readonly type: 'RunCancelled'; readonly reason: string; readonly by?: string }
  | { readonly type: 'RunRetried'; readonly steps: readonly string[]; readonly by?: string };

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
