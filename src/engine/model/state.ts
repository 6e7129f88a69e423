/** The state of a run: the fold of its log, nothing else. */
import type { Json } from '../../kernel/index.ts';
import type { Attributes, Failure, FlowState, Parent, RunEnding, Slot, Source, TraceContext } from './inputs.ts';
import type { ChildRef } from './transitions.ts';

export type RunStatus =
  | 'new'
  /** Started, and waiting for a slot of a limit before its first step. */
  | 'queued'
  | 'running'
  | 'completed'
  | 'failed'
  | 'cancelled';

export type StepStatus =
  | 'pending'
  /** Handed out to a worker or to Prefect, not known to have begun. */
  | 'scheduled'
  | 'running'
  /** Sleeping, or waiting for a signal. */
  | 'waiting'
  /** Waiting for the next attempt. */
  | 'backoff'
  /** Its attempts are used up; a person resumes it. */
  | 'paused'
  | 'completed'
  /** It had completed, and its compensation has, too. */
  | 'compensated'
  | 'failed'
  | 'skipped'
  | 'cancelled';

export interface FlowBinding {
  readonly flowRunId: string;
  readonly state: FlowState;
}

export interface StepState {
  readonly name: string;
  readonly status: StepStatus;
  /** The latest attempt; 0 before the first. It never goes back, not even by a retry of the run. */
  readonly attempt: number;
  /** Attempts that failed by their own doing since the run was started or retried. */
  readonly failures: number;
  /** Attempts lost to the machinery since the run was started or retried. */
  readonly lost: number;
  readonly input?: Json;
  readonly output?: Json;
  readonly error?: Failure;
  /** Why it was skipped. */
  readonly reason?: string;
  readonly worker?: string;
  readonly scheduledAt?: number;
  readonly startedAt?: number;
  readonly endedAt?: number;
  readonly retryAt?: number;
  /** When its first attempt was scheduled, if its policy limits the time of all attempts. */
  readonly since?: number;
  /** Details of the last heartbeat; they outlive the attempt. */
  readonly progress?: Json;
  readonly child?: ChildRef;
  /** The slot that the attempt which is out has of its queue. */
  readonly slot?: Slot;
  /** How the child ended, while the step has no result of it yet. */
  readonly ending?: RunEnding;
  /** How often it was compensated. */
  readonly undone?: number;
  /** `forEach`: how many items it has; they are in {@link RunState.items}. */
  readonly items?: number;
  /** Flow runs by attempt: what Prefect was last known to say of each. */
  readonly flows: Readonly<Record<number, FlowBinding>>;
}

/**
 * The items of a fan-out: each a step of its own, named `<step>#<n>` with n from 1. They are kept apart from the run's steps,
 * in chunks, so that an input costs what it touches and not ten thousand copies.
 */
export interface ItemsState {
  readonly count: number;
  /** Failed items do not fail the step: its output says of each whether it is `ok`. */
  readonly collect?: true;
  /** How often the step had been compensated when it was fanned out. */
  readonly undone?: number;
  /** The next item to begin; those before it have begun or were skipped. */
  readonly next: number;
  /** Items that have begun and not ended; the other numbers are of those that ended so. */
  readonly open: number;
  readonly completed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly cancelled: number;
  /** {@link ITEMS_PER_CHUNK} each, the first ones first; items that nothing has happened to yet are missing at the end. */
  readonly chunks: readonly (readonly StepState[])[];
}

export const ITEMS_PER_CHUNK = 128;

/** How a run that is being closed will end. */
export interface Closing {
  readonly outcome: 'failed' | 'cancelled';
  readonly error?: Failure;
  readonly step?: string;
  readonly reason?: string;
  readonly by?: string;
  readonly graceMs?: number;
}

export interface UpdateState {
  readonly name: string;
  readonly payload: Json;
  readonly notify?: string;
  /** Set once it has ended well. */
  readonly output?: Json;
  /** Set once it has failed. */
  readonly error?: Failure;
  readonly ended: boolean;
}

export interface RunState {
  readonly workflow: string;
  readonly runId: string;
  readonly status: RunStatus;
  readonly digest: string;
  readonly payload: Json;
  readonly source?: Source;
  readonly trace?: TraceContext;
  readonly by?: string;
  readonly startedAt?: number;
  readonly endedAt?: number;
  readonly error?: Failure;
  readonly failedStep?: string;
  /** It is to end so: no step begins any more, compensations run. */
  readonly closing?: Closing;
  /** Completed steps that a compensation is declared for, in the order of their completion. */
  readonly undo?: readonly string[];
  /** It was killed, not cancelled. */
  readonly killed?: boolean;
  readonly parent?: Parent;
  readonly attributes?: Attributes;
  /** 1 (first) to 5. */
  readonly priority?: number;
  /** Limits it waits for, while it is queued. */
  readonly waitsFor?: readonly { readonly limit: string; readonly key: string }[];
  readonly slots?: readonly Slot[];
  /** Durable functions: the version of the code that executes it, or did last. */
  readonly version?: string;
  /** Durable functions: ids of `ctx.patched` that said true, in their order. */
  readonly patches?: readonly string[];
  /** Durable functions: updates by id. */
  readonly updates?: Readonly<Record<string, UpdateState>>;
  /** How often it continued as new. */
  readonly generation?: number;
  readonly reason?: string;
  /** What a durable function returned. */
  readonly output?: Json;
  /** Durable functions: the worker that executes the run, or did last. */
  readonly worker?: string;
  /** Durable functions: true while nothing of the run executes anywhere. */
  readonly suspended?: boolean;
  /** Durable functions: the inbox where whoever started the run waits for its end. */
  readonly notify?: string;
  /** How often the run was retried by hand. */
  readonly retries: number;
  readonly steps: Readonly<Record<string, StepState>>;
  /** By the name of the step that was fanned out. */
  readonly items?: Readonly<Record<string, ItemsState>>;
  /** Timers that are set and have not fired: when they are due, by id. */
  readonly timers: Readonly<Record<string, number>>;
  /** Signals that came and were not consumed yet, oldest first. */
  readonly signals: readonly { readonly name: string; readonly payload: Json }[];
  /** Sequence of the last input whose transitions are in the log. */
  readonly lastInput: number;
  /** Sequence of the last log entry folded: the next append's expected last subject sequence. */
  readonly lastEntry: number;
}

/** A run before its first transition. */
export function newRun(workflow: string, runId: string): RunState {
  return {
    workflow,
    runId,
    status: 'new',
    digest: '',
    payload: null,
    retries: 0,
    steps: {},
    timers: {},
    signals: [],
    lastInput: 0,
    lastEntry: 0,
  };
}

const NO_STEP = { status: 'pending', attempt: 0, failures: 0, lost: 0, flows: {} } as const;

/** A step that nothing has happened to yet. */
export function pendingStep(name: string): StepState {
  return { name, ...NO_STEP };
}

/** The step's state; a step that nothing has happened to yet is pending. Items of a fan-out are found by their names. */
export function stepOf(state: RunState, name: string): StepState {
  const known = Object.hasOwn(state.steps, name) ? state.steps[name] : undefined; // a step may be named `constructor`
  if (known !== undefined) return known;
  const at = state.items === undefined ? undefined : itemAt(name);
  return (at === undefined ? undefined : itemOf(state, at.step, at.n)) ?? pendingStep(name);
}

/** The n-th item (from 1) of a fan-out, if anything has happened to it. */
export function itemOf(state: RunState, step: string, n: number): StepState | undefined {
  const { items } = state;
  if (items === undefined || !Object.hasOwn(items, step)) return undefined;
  return items[step]?.chunks[Math.floor((n - 1) / ITEMS_PER_CHUNK)]?.[(n - 1) % ITEMS_PER_CHUNK];
}

/** The name of the n-th item of a step. */
export const itemName = (step: string, n: number): string => `${step}#${n}`;

/** The step and the number (from 1) in an item's name; undefined for other names. */
export function itemAt(name: string): { readonly step: string; readonly n: number } | undefined {
  const at = name.lastIndexOf('#');
  if (at <= 0) return undefined;
  const digits = name.slice(at + 1);
  return /^[1-9]\d{0,6}$/.test(digits) ? { step: name.slice(0, at), n: Number(digits) } : undefined;
}

/** Items of all fan-outs that something has happened to, in their order. */
export function* itemsOf(state: RunState): Generator<StepState> {
  for (const { chunks } of Object.values(state.items ?? {})) for (const chunk of chunks) yield* chunk;
}

export function isEnded(state: RunState): boolean {
  return state.status === 'completed' || state.status === 'failed' || state.status === 'cancelled';
}

/** `true` while an attempt of the step is out: a worker or Prefect may still report on it. */
export function isOut(step: StepState): boolean {
  return step.status === 'scheduled' || step.status === 'running';
}

export function isDone(step: StepState): boolean {
  return step.status === 'completed' || step.status === 'skipped';
}

/** `true` for a step that is not done and may still do something. */
export function isOpen({ status }: StepState): boolean {
  return (
    status === 'scheduled' ||
    status === 'running' ||
    status === 'waiting' ||
    status === 'backoff' ||
    status === 'paused'
  );
}

const UNDO = 'undo:';

/** The step that compensates a step. No declared step has a `:` in its name. */
export const undoName = (step: string): string => `${UNDO}${step}`;
export const isUndo = (name: string): boolean => name.startsWith(UNDO);
/** The step that is compensated by the one of this name. */
export const undoneBy = (name: string): string => name.slice(UNDO.length);
