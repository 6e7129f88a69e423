/** What a run's journal says to the function that is executed again. Pure. */
import { fold, newRun, type RunState, type StoredEntry, type Transition } from '../engine/index.ts';

export interface Recall {
  readonly state: RunState;
  /** Operations that have ended (completed or failed for good), in the order of the log: the order their results come in. */
  readonly order: readonly string[];
  /** The journal's time of each of them. */
  readonly times: ReadonlyMap<string, number>;
  /** Sequence of the input that the run's executor holds: the cause of its start or of the last claim; 0 before. */
  readonly lease: number;
  /** When steps were last given new attempts by a person, ms since the epoch; undefined when none was. */
  readonly renewed?: ReadonlyMap<string, number>;
  /** Steps whose child run is known to have been started; undefined when there is none. */
  readonly started?: ReadonlySet<string> | undefined;
}

/** Nothing was recorded yet. */
export function noRecall(workflow: string, runId: string): Recall {
  return { state: newRun(workflow, runId), order: [], times: new Map(), lease: 0 };
}

/** The run as its log tells it. */
export function recall(workflow: string, runId: string, entries: readonly StoredEntry[]): Recall {
  let order: string[] = [];
  const times = new Map<string, number>();
  const renewed = new Map<string, number>();
  let lease = 0;
  const scheduled: string[] = [];
  let started: Set<string> | undefined;
  for (const { transitions, at, cause } of entries) {
    for (const t of transitions) {
      if (t.type === 'RunStarted' || t.type === 'RunClaimed') lease = cause;
      else if (t.type === 'StepCompleted' || t.type === 'StepFailed') {
        order.push(t.step);
        times.set(t.step, at);
      } else if (t.type === 'StepResumed') renewed.set(t.step, at);
      else if (t.type === 'StepScheduled') {
        started?.delete(t.step);
        scheduled.push(t.step);
      } else if (t.type === 'RunSuspended' && scheduled.length > 0) {
        started ??= new Set(); // F21
        for (const step of scheduled.splice(0)) started.add(step);
      } else if (t.type === 'RunRetried') {
        order = order.filter((step) => !t.steps.includes(step));
        for (const step of t.steps) renewed.set(step, at);
      }
    }
  }
  return { state: fold(workflow, runId, entries), order, times, lease, started, renewed };
}

/** Why what was open when a run ended is cancelled. */
export const RUN_ENDED = 'the run ended';

const OPEN: ReadonlySet<string> = new Set(['waiting', 'backoff', 'paused', 'scheduled']);

/** What a run that ends has open: its timers are called off, its waits and backoffs cancelled. */
export function openEnds(state: RunState, reason: string): Transition[] {
  const open = Object.values(state.steps).filter(({ status }) => OPEN.has(status));
  return [
    ...Object.keys(state.timers).map((timer): Transition => ({ type: 'TimerCancelled', timer })),
    ...open.map((step): Transition => ({ type: 'StepCancelled', step: step.name, attempt: step.attempt, reason })),
  ];
}

/** Whether the input's transitions are in the log. A start has no mark of its own: a run that is not new was started. */
export function isRecorded(entries: readonly StoredEntry[], seq: number): boolean {
  return entries.some(({ cause }) => cause === seq);
}

/** The entry that made the input the lease of a run that executes; undefined when it is none, or not any more. */
export function claimBy(entries: readonly StoredEntry[], seq: number): StoredEntry | undefined {
  const claims = (t: Transition): boolean => t.type === 'RunStarted' || t.type === 'RunClaimed';
  const last = entries.findLast(({ transitions }) => transitions.some(claims));
  if (last?.cause !== seq) return undefined;
  const { state } = recall('', '', entries);
  return state.status === 'running' && state.suspended !== true ? last : undefined;
}
