/** One run as people look at it: its steps with all their attempts, times and errors. Pure. */
import {
  type ChildRef,
  type Definition,
  type Failure,
  type FlowState,
  findStep,
  fold,
  type ItemsState,
  isUndo,
  newRun,
  type RunRef,
  type RunState,
  type StepAction,
  type StepStatus,
  type StoredEntry,
  stepOf,
  type Transition,
} from '../engine/index.ts';
import type { Json } from '../kernel/index.ts';

export type AttemptStatus = 'scheduled' | 'running' | 'waiting' | 'completed' | 'failed' | 'lost' | 'cancelled';

export interface AttemptView {
  readonly attempt: number;
  readonly status: AttemptStatus;
  readonly scheduledAt: number;
  readonly startedAt?: number;
  readonly endedAt?: number;
  /** Who worked on it: a worker's name, or `prefect:<flow run>`. */
  readonly worker?: string;
  readonly flowRunId?: string;
  readonly flowState?: FlowState;
  readonly error?: Failure;
  /** When the next attempt is due. */
  readonly retryAt?: number;
}

export interface StepView {
  readonly name: string;
  readonly status: StepStatus;
  readonly needs: readonly string[];
  /** What it does, as far as the definition is known. */
  readonly action?: StepAction;
  readonly attempts: readonly AttemptView[];
  readonly input?: Json;
  readonly output?: Json;
  readonly error?: Failure;
  readonly reason?: string;
  /** What its last heartbeat said. */
  readonly progress?: Json;
  /** The run that the latest attempt is. */
  readonly child?: ChildRef;
  readonly items?: ItemsView;
}

/** The items of a step over a list. */
export interface ItemsView extends Omit<ItemsState, 'chunks' | 'next' | 'collect' | 'undone'> {
  /** Those that something has happened to, in their order. */
  readonly list: readonly StepView[];
}

export interface RunView {
  readonly state: RunState;
  readonly entries: number;
  readonly steps: readonly StepView[];
}

type StepTransition = Extract<Transition, { step: string; attempt: number }>;
type Change = Partial<AttemptView>;

function changeOf(t: StepTransition, at: number): Change {
  switch (t.type) {
    case 'StepScheduled':
      return { status: 'scheduled', scheduledAt: at };
    case 'SleepStarted':
    case 'SignalAwaited':
      return { status: 'waiting', scheduledAt: at, startedAt: at };
    case 'StepFannedOut':
      return { status: 'running', scheduledAt: at, startedAt: at };
    case 'ChildEnded':
    case 'StepHeartbeat':
      return {};
    case 'StepPaused':
      return { status: t.error.lost ? 'lost' : 'failed', endedAt: at, error: t.error };
    case 'StepStarted':
      return { status: 'running', startedAt: t.startedAt ?? at, worker: t.worker };
    case 'FlowStateChanged':
      return { flowRunId: t.flowRunId, flowState: t.state };
    case 'StepRetryScheduled':
      return { status: t.error.lost ? 'lost' : 'failed', endedAt: at, error: t.error, retryAt: t.retryAt };
    case 'StepCompleted':
      return { status: 'completed', endedAt: at };
    case 'StepFailed':
      return { status: t.error.lost ? 'lost' : 'failed', endedAt: at, error: t.error };
    case 'StepCancelled':
      return { status: 'cancelled', endedAt: at };
  }
}

/** All attempts by step, in order. An attempt that ended by the backoff's cancel keeps how it ended. */
function attemptsOf(entries: readonly StoredEntry[]): ReadonlyMap<string, AttemptView[]> {
  const byStep = new Map<string, AttemptView[]>();
  for (const { at, transitions } of entries) {
    for (const t of transitions) {
      if (!('step' in t) || !('attempt' in t) || t.type === 'SlotGranted') continue;
      const attempts = byStep.get(t.step) ?? [];
      byStep.set(t.step, attempts);
      const index = attempts.findIndex(({ attempt }) => attempt === t.attempt);
      const before = attempts[index] ?? { attempt: t.attempt, status: 'scheduled', scheduledAt: at };
      if (before.endedAt !== undefined && t.type !== 'FlowStateChanged') continue;
      attempts[index === -1 ? attempts.length : index] = { ...before, ...changeOf(t, at) };
    }
  }
  return byStep;
}

function viewItems({ chunks, ...items }: ItemsState, viewStep: (name: string) => StepView): ItemsView {
  const { count, open, completed, failed, skipped, cancelled } = items;
  return { count, open, completed, failed, skipped, cancelled, list: chunks.flat().map(({ name }) => viewStep(name)) };
}

/** How far the items are: `37 of 100 completed, 2 failed, 10 open`. */
export function itemsText({ count, completed, ...items }: Omit<ItemsView, 'list'>): string {
  const others = (['failed', 'skipped', 'cancelled', 'open'] as const).filter((status) => items[status] > 0);
  return [`${completed} of ${count} completed`, ...others.map((status) => `${items[status]} ${status}`)].join(', ');
}

/**
 * The run after its entries.
 * @param definition the one whose digest the run carries; without it only the steps that have begun are known
 */
export function viewRun(run: RunRef, entries: readonly StoredEntry[], definition?: Definition): RunView {
  const state = entries.length === 0 ? newRun(run.workflow, run.runId) : fold(run.workflow, run.runId, entries);
  const attempts = attemptsOf(entries);
  const declared = definition?.steps.map(({ name }) => name) ?? [];
  const begun = Object.keys(state.steps).filter((name) => definition === undefined || isUndo(name));
  const names = [...declared, ...begun];
  const viewStep = (name: string): StepView => {
    const { status, input, output, error, reason, progress, child } = stepOf(state, name);
    const known = definition === undefined ? undefined : findStep(definition, name);
    const items = state.items !== undefined && Object.hasOwn(state.items, name) ? state.items[name] : undefined;
    return {
      name,
      status,
      needs: known?.needs ?? [],
      attempts: attempts.get(name) ?? [],
      ...(known === undefined ? {} : { action: known.action }),
      ...(input === undefined ? {} : { input }),
      ...(output === undefined ? {} : { output }),
      ...(error === undefined || status === 'completed' ? {} : { error }),
      ...(progress === undefined ? {} : { progress }),
      ...(reason === undefined ? {} : { reason }),
      ...(child === undefined ? {} : { child }),
      ...(items === undefined ? {} : { items: viewItems(items, viewStep) }),
    };
  };
  const steps = names.map(viewStep);
  return { state, entries: entries.length, steps };
}
