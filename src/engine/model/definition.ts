/**
 * A workflow as the engine sees it: checked, defaults filled in, durations in milliseconds, steps in an order in which
 * every step comes after what it needs. `manifests/` makes it from YAML; it is stored by digest and never changes.
 */
import type { BackoffPolicy, Json } from '../../kernel/index.ts';

/** How often a step is tried. */
export interface RetryPolicy extends BackoffPolicy {
  /** Attempts that may fail by the step's own doing, the first included. */
  readonly maxAttempts: number;
  /** Attempts that may be lost to the machinery (a crashed host, a killed process) on top of those. */
  readonly maxLost: number;
  /** Longest time from the first attempt's scheduling to the beginning of the last one. */
  readonly maxElapsedMs?: number;
  /** Codes and classes of errors that no further attempt can help. */
  readonly nonRetryable?: readonly string[];
  /** What becomes of a step whose attempts are used up: it fails (the default), or waits for a person. */
  readonly onExhausted?: 'pause';
}

/** What a limit allows. At least one of `slots` and `rate` is there. */
export interface LimitPolicy {
  /** Holders at once. */
  readonly slots?: number;
  /** At most `limit` grants within any `perMs`. */
  readonly rate?: { readonly limit: number; readonly perMs: number };
  /**
   * What becomes of an ask that cannot be granted at once: it waits; the oldest holders end to make room for it; it is refused
   * (`drop` says so in the run's reason and means that nobody will miss it).
   */
  readonly onFull: 'queue' | 'cancelOldest' | 'cancelNewest' | 'drop';
}

/** A limit that runs of a workflow ask before their first step. */
export interface RunLimit {
  /** `workflow:<name>`, `shared:<name>`, `rate:<name>`. */
  readonly limit: string;
  /** CEL over payload: each value has slots of its own. One key for all without it. */
  readonly key?: string;
  readonly policy: LimitPolicy;
}

/** A limit that attempts of a queue ask before they are handed out. */
export interface QueueLimit {
  /** `queue:<name>` */
  readonly limit: string;
  readonly policy: LimitPolicy;
}

/** What a step does. */
export type StepAction =
  | { readonly kind: 'worker'; readonly handler: string; readonly queue: string; readonly limit?: QueueLimit }
  | { readonly kind: 'prefect'; readonly deployment: string; readonly pool: string }
  | { readonly kind: 'sleep'; readonly ms: number }
  /** A child run of a workflow or durable function; the step's input is its payload. */
  | {
      readonly kind: 'child';
      readonly workflow: string;
      readonly onClose: 'cancel' | 'abandon';
      readonly wait: boolean;
    }
  | {
      readonly kind: 'signal';
      readonly name: string;
      readonly timeoutMs?: number;
      /** What a wait that timed out is: a result `{received: false}` to decide on, or a failure. */
      readonly onTimeout: 'continue' | 'fail';
    };

/** What undoes a completed step when the run fails or is cancelled. */
export interface CompensationDefinition {
  readonly handler: string;
  readonly queue: string;
  /** CEL by member, over payload, steps, run; without it the input is `{payload, input, output}` of the step. */
  readonly with?: Readonly<Record<string, string>>;
  readonly retry: RetryPolicy;
  readonly timeoutMs?: number;
}

/** One step over a list: an item each, as steps of their own; the step's output is the list of their outputs. */
export interface ForEachDefinition {
  /** CEL expression that gives the list, at most 10,000 items. In `with` and `when` of the step `item` and `index` are known. */
  readonly items: string;
  /** Items under way at once. */
  readonly maxParallel: number;
  /** `fail`: the first failed item fails the step. `collect`: it completes with `{ok: false, error}` beside `{ok: true, output}`. */
  readonly onFailure: 'fail' | 'collect';
}

export interface StepDefinition {
  readonly name: string;
  readonly needs: readonly string[];
  /** CEL condition over payload, steps, run; false skips the step and what needs it. */
  readonly when?: string;
  /** Input of the step: CEL expression by member. Without it the input is `{payload, steps}` of what it needs. */
  readonly with?: Readonly<Record<string, string>>;
  readonly action: StepAction;
  readonly retry: RetryPolicy;
  /** Longest time of one attempt. */
  readonly timeoutMs?: number;
  /** Longest time until an attempt has begun at a worker. */
  readonly queueTimeoutMs?: number;
  /** Longest silence of an attempt that is out. */
  readonly heartbeatTimeoutMs?: number;
  readonly compensate?: CompensationDefinition;
  readonly forEach?: ForEachDefinition;
}

export interface TriggerDefinition {
  readonly name: string;
  readonly stream: string;
  readonly subject: string;
  /** CEL condition over payload, subject, headers. */
  readonly when?: string;
  /** CEL expression that gives the run's idempotency key; by default the message's stream sequence is the key. */
  readonly key?: string;
  /** What becomes of a message whose key has a run already; `return` by default: nothing. */
  readonly onDuplicate?: 'reject' | 'replace';
  /** One run of the last message, once nothing has come for a while; `key`: CEL over payload, subject, headers. */
  readonly debounce?: DebouncePolicy & { readonly key?: string };
  /** One run of many messages. */
  readonly batch?: BatchPolicy & { readonly key?: string };
}

export interface DebouncePolicy {
  /** Quiet time that starts the run. */
  readonly waitMs: number;
  /** Longest time from the first message on, however often others come. */
  readonly maxMs?: number;
}

export interface BatchPolicy {
  /** Messages of a full batch. */
  readonly size: number;
  /** Longest time from the first message on. */
  readonly waitMs: number;
}

/** What becomes of a time at which an earlier run of the schedule is still open. */
export type OverlapPolicy = 'skip' | 'bufferOne' | 'bufferAll' | 'cancelRunning' | 'terminateRunning' | 'allow';

/** Starts runs at times: exactly one of `cron`, `everyMs` and `at` says which. All times are ms since the epoch. */
export interface ScheduleDefinition {
  readonly name: string;
  /** 5 or 6 fields (then seconds first), in `timeZone`. */
  readonly cron?: string;
  readonly timeZone?: string;
  /** Counted from the epoch, plus `offsetMs`. */
  readonly everyMs?: number;
  readonly offsetMs?: number;
  readonly at?: number;
  /** The runs' payload as it is; or `with`: CEL by member over `scheduledAt` (text, ISO 8601) and `schedule`. */
  readonly payload?: Json;
  readonly with?: Readonly<Record<string, string>>;
  /** Each start is late by up to so much, by a fraction that follows from schedule and time. */
  readonly jitterMs?: number;
  readonly overlap: OverlapPolicy;
  /** What becomes of times that passed while nobody could start anything. */
  readonly catchUp: { readonly policy: 'all' | 'latest' | 'none'; readonly windowMs: number };
  readonly paused?: true;
  readonly startAt?: number;
  readonly endAt?: number;
}

/** A search attribute: its type, and for declared workflows the CEL expression over payload, steps, run that gives it. */
export interface AttributeDefinition {
  readonly type: 'keyword' | 'text' | 'int' | 'double' | 'bool' | 'datetime';
  readonly value?: string;
}

/**
 * No retention may be shorter: for so long the server recognises a message that is sent again, and a process that stood still may
 * come back with one; a start that finds its run gone would begin it anew.
 */
export const SHORTEST_RETENTION_MS = 120_000;

/** How long ended runs are kept, in ms by how they ended; a way of ending that is absent is kept for ever. */
export interface RetentionPolicy {
  readonly completedMs?: number;
  readonly failedMs?: number;
  readonly cancelledMs?: number;
  /** Nothing is purged while the workflow has no more than so many runs, whatever their age; open ones count. */
  readonly keepLast?: number;
}

export interface Definition {
  readonly name: string;
  readonly description?: string;
  /** 16 hex digits over the canonical JSON of everything else. */
  readonly digest: string;
  /** Longest time of a whole run. */
  readonly timeoutMs?: number;
  /** Whether the message that started a failed run is kept as a dead letter. */
  readonly deadLetter: boolean;
  /**
   * Durable functions: the workflow is code in a worker process. It has no steps here, and controllers leave its inputs to
   * the workers that have the code; triggers start its runs as those of any other.
   */
  readonly code?: boolean;
  /** CEL over payload, steps, run: what the run gives to whoever waits for it; else the outputs of the steps that no other needs. */
  readonly output?: string;
  /** Time that work which is out has at a cancel before it is given up; none by default. */
  readonly graceMs?: number;
  /** What becomes of ended runs; the workflow's current definition counts, whichever a run began with. Kept for ever without. */
  readonly retention?: RetentionPolicy;
  /** What its runs wait for before their first step, in the order in which they ask: the same for all that share limits. */
  readonly limits?: readonly RunLimit[];
  /** CEL over payload: 1 (first) to 5 among those that wait for a slot; 3 without it. */
  readonly priority?: string;
  readonly steps: readonly StepDefinition[];
  readonly triggers: readonly TriggerDefinition[];
  readonly schedules?: readonly ScheduleDefinition[];
  readonly attributes?: Readonly<Record<string, AttributeDefinition>>;
}
