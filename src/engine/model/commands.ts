/**
 * Commands: what the shell must do after a log entry is stored. They follow from the transitions alone (see react.ts), so
 * after a crash the same entry gives the same commands, and every receiver can recognise one it has already had.
 */
import type { Json } from '../../kernel/index.ts';
import type { Failure, Source } from './inputs.ts';

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
      /** Stable over all attempts of the step: what an effect should be keyed by. */
      readonly idempotencyKey: string;
    }
  /** Look at both sides of this step's flow run (the queue holds the key only). */
  | { readonly kind: 'reconcile'; readonly step: string; readonly attempt: number }
  | { readonly kind: 'timer'; readonly timer: string; readonly at: number }
  | { readonly kind: 'timer.cancel'; readonly timer: string }
  /** Tell whoever runs the attempt to stop; a hint, since late results are refused anyway. */
  | { readonly kind: 'task.cancel'; readonly step: string; readonly attempt: number; readonly reason: string }
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
