/**
 * Commands: what the shell must do after a log entry is stored. They follow from the transitions alone (see react.ts), so
 * after a crash the same entry gives the same commands, and every receiver can recognise one it has already had.
 */
import type { Json } from '../../kernel/index.ts';
import type { LimitPolicy } from './definition.ts';
import type { Attributes, Failure, Parent, RunEnding, Source } from './inputs.ts';
import type { ChildRef } from './transitions.ts';

export type Command =
  /** Hand an attempt to a worker. Message id: `task:<workflow>:<runId>:<step>:<attempt>`. */
  | {
      readonly kind: 'task';
      readonly queue: string;
      readonly handler: string;
      readonly step: string;
      readonly attempt: number;
      readonly input: Json;
      readonly timeoutMs?: number;
      /** Longest silence between two heartbeats. */
      readonly heartbeatMs?: number;
      /** Details of the last heartbeat of an attempt before this one. */
      readonly progress?: Json;
      /** Stable over all attempts of the step: what an effect should be keyed by. */
      readonly idempotencyKey: string;
    }
  /** Look at both sides of this step's flow run (the queue holds the key only). */
  | { readonly kind: 'reconcile'; readonly step: string; readonly attempt: number }
  /** Start a child run; when that is not possible, the step is told so by an input `child`. */
  | {
      readonly kind: 'child';
      readonly child: ChildRef;
      readonly step: string;
      readonly attempt: number;
      readonly payload: Json;
    }
  /** End a child run as its policy says. */
  | { readonly kind: 'child.close'; readonly child: ChildRef; readonly reason: string; readonly kill: boolean }
  /** Tell the parent that this run has ended. */
  | { readonly kind: 'parent'; readonly parent: Parent; readonly ending: RunEnding }
  /** Ask for a slot of the limit; the answer is an input `slot`. */
  | {
      readonly kind: 'slot.ask';
      readonly limit: string;
      readonly key: string;
      readonly policy: LimitPolicy;
      readonly priority: number;
      /** See the input `slot`. */
      readonly ask: number;
      readonly step?: string;
    }
  /** Give back what the ask was given, or take the ask back: the limit knows what is true. */
  | {
      readonly kind: 'slot.free';
      readonly limit: string;
      readonly key: string;
      readonly ask: number;
      readonly step?: string;
    }
  /** Search attributes have changed, or the run's status has: the index is to be told. A hint: the index can be rebuilt. */
  | { readonly kind: 'index'; readonly attributes: Attributes }
  | { readonly kind: 'timer'; readonly timer: string; readonly at: number }
  | { readonly kind: 'timer.cancel'; readonly timer: string }
  /** Tell whoever runs the attempt to stop; a hint, since late results are refused anyway. */
  | {
      readonly kind: 'task.cancel';
      readonly step: string;
      readonly attempt: number;
      readonly reason: string;
      /** The run waits so long for the attempt's report. */
      readonly graceMs?: number;
    }
  /** Publish a state change for others to bind to. */
  | {
      readonly kind: 'event';
      readonly of: 'run' | 'step';
      readonly step?: string;
      readonly event: string;
      readonly data: Json;
    }
  /** Keep the message that started the failed run. */
  | { readonly kind: 'dead'; readonly error: Failure; readonly source?: Source };
