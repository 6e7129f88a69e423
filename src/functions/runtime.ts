/** What the parts of an execution see of it: types only, so that each part can be read, tested and replaced alone. */
import type { Failure, InputBody, LogEntry, RunEnding, RunRef, StoredEntry, Transition } from '../engine/index.ts';
import type { Json, Result } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import type { Family, Origin } from './kinship.ts';
import type { Order } from './order.ts';
import type { Recall } from './recall.ts';
import type { Batch, Effect, HeldInput, Tail } from './tail.ts';
import type { Abortable, ChildOptions, ServedFunction, StepAttempt } from './types.ts';

/** An attempt of a step whose code is about to run. */
export interface InterposedCall {
  readonly run: RunRef;
  readonly step: string;
  readonly attempt: StepAttempt;
  /** What a step made by `step` is called with. */
  readonly input: unknown;
  readonly code: () => unknown;
}

export interface ExecutionPorts {
  readonly append: (run: RunRef, entry: LogEntry, expectedLast: number) => Promise<Result<number, 'conflict'>>;
  readonly entries: (run: RunRef, after?: number) => Promise<readonly StoredEntry[]>;
  /** Stores a schedule; setting one again is harmless. */
  readonly setTimer: (run: RunRef, timer: string, at: number) => Promise<void>;
  readonly cancelTimer: (run: RunRef, timer: string) => void;
  readonly family: Family;
  readonly now: () => number;
  /** Calls back after `ms` at most once; gives the way to call it off. */
  readonly after: (ms: number, then: () => void) => () => void;
  readonly defer: (then: () => void) => void;
  /** Stands between a step and its code: mocks and injected failures of the test kit. Gives what the code is to have given. */
  readonly interpose?: (call: InterposedCall) => unknown;
  readonly telemetry: Telemetry;
}

/** Sleeps, signals and timers of a run; see waits.ts. */
export interface WaitsOfRun {
  sleep(ms: number, name: string): Promise<void>;
  wait(name: string, timeoutMs: number | undefined): Promise<Json>;
  awaits(name: string): boolean;
  isSet(timer: string): boolean;
  /** A signal is in the log. */
  signal(name: string, payload: Json): void;
  /** A timer's firing is in the log. */
  fired(timer: string): void;
  cancelAll(): void;
  /** It does not rest after all. */
  rearm(): void;
}

/** A step that waits for a person. */
export interface PausedStep {
  /** The attempt that failed last. */
  readonly attempt: number;
  resume(): void;
}

/** Paused steps of a run; see pauses.ts. */
export interface PausesOfRun {
  add(id: string, step: PausedStep): void;
  waits(step: string | undefined): boolean;
  drop(id: string): boolean;
  resume(step: string | undefined, by: string | undefined): Batch | undefined;
  /** The log says that it goes on. */
  resumed(id: string): void;
}

/** Child runs of a run; see children.ts. */
export interface ChildrenOfRun {
  run(child: Named, input: unknown, options: ChildOptions, abortable?: (control: Abortable) => void): Promise<Json>;
  start(child: Named, input: unknown, options: ChildOptions): Promise<{ readonly runId: string }>;
  awaits(step: string, runId: string): boolean;
  /** A child's end is known. Gives where the step's result is recorded. */
  ended(step: string, ending: RunEnding): Batch | undefined;
  cancelAll(reason?: string): void;
}

/** A workflow, by itself or by its name. */
export type Named = string | { readonly name: string };

/** Spans of a run; see spans.ts. */
export interface SpansOfRun {
  attempt(batch: Batch, step: string, attempt: number, startMs: number, outcome: string, error?: Failure): void;
}

/** An execution, as its parts see it; see execution.ts for what each member means. */
export interface Runtime {
  readonly fn: Pick<ServedFunction, 'signals'>;
  readonly run: RunRef;
  readonly worker: string;
  readonly ports: ExecutionPorts;
  readonly recalled: Recall;
  readonly tail: Tail;
  readonly order: Order;
  readonly waits: WaitsOfRun;
  readonly pauses: PausesOfRun;
  readonly children: ChildrenOfRun;
  readonly origin: Origin;
  readonly generation: number;
  readonly spans: SpansOfRun | undefined;
  readonly signal: AbortSignal;
  readonly now: number;
  readonly isOver: boolean;
  readonly returned: boolean;
  held: HeldInput[];
  resting: boolean;
  lease: number;
  idOf(name: string): string;
  enter(): void;
  leave(): void;
  wake(refused?: boolean): void;
  push(transition: Transition): Batch | undefined;
  callOff(): void;
  finish(transition: Transition): Batch | undefined;
  settle(batch: Batch | undefined, give: () => void): void;
  replay(id: string, give: () => void): void;
  effect(effect: Effect): void;
  take(input: HeldInput, body: InputBody): void;
  failed(error: unknown): void;
  abandon(why: { readonly by?: StoredEntry; readonly error?: unknown }): void;
}
