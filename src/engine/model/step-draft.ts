/** The state of one step under change: see state-draft.ts. Internal to the model. */
import { unreachable } from '../../kernel/index.ts';
import type { StepState } from './state.ts';
import type { Transition } from './transitions.ts';

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export type Step = Mutable<StepState>;
type StepTransition = Extract<Transition, { readonly step: string; readonly attempt: number }>;
/** Those that say what has become of a step. */
export type OfStep =
  | StepTransition
  | Extract<Transition, { readonly type: 'StepSkipped' | 'StepResumed' | 'SlotGranted' }>;

/** A step that is to be done once more: its attempts go on counting, its failures begin anew. */
export function retriedStep(step: StepState): Step {
  const { error: _x, reason: _r, endedAt: _e, retryAt: _t, output: _o, since: _s, ...rest } = step;
  const { items: _i, ending: _n, ...kept } = rest;
  return { ...kept, status: 'pending', failures: 0, lost: 0 };
}

/** A new attempt begins with what outlives the ones before it. */
export function scheduledStep(step: StepState, t: Extract<Transition, { type: 'StepScheduled' }>, at: number): Step {
  const { name, failures, lost, flows, output, reason, since, progress, items, undone } = step;
  const next: Step = {
    name,
    status: 'scheduled',
    attempt: t.attempt,
    failures,
    lost,
    flows,
    input: t.input,
    scheduledAt: at,
  };
  const from = t.since ?? since;
  if (from !== undefined) next.since = from;
  if (progress !== undefined) next.progress = progress;
  if (items !== undefined) next.items = items;
  if (undone !== undefined) next.undone = undone;
  if (t.child !== undefined) next.child = t.child;
  if (output !== undefined) next.output = output;
  if (reason !== undefined) next.reason = reason;
  return next;
}

/** The step after the transition; the one before is left as it was. */
export function stepAfter(step: StepState, t: OfStep, at: number): Step {
  if (t.type === 'StepResumed') return retriedStep(step);
  if (t.type === 'StepScheduled') return scheduledStep(step, t, at);
  if (t.type === 'SlotGranted') return { ...step, slot: t.slot };
  const next: Step = { ...step };
  if (t.type === 'StepSkipped') skipStep(next, t.reason, at);
  else advanceStep(next, t, at);
  return next;
}

export function skipStep(step: Step, reason: string, at: number): void {
  step.status = 'skipped';
  step.reason = reason;
  step.endedAt = at;
}

export function advanceStep(step: Step, t: Exclude<StepTransition, { type: 'StepScheduled' }>, at: number): void {
  switch (t.type) {
    case 'StepStarted':
      step.status = 'running';
      step.worker = t.worker;
      step.startedAt = t.startedAt ?? at;
      return;
    case 'StepFannedOut':
      step.status = 'running';
      step.attempt = t.attempt;
      step.items = t.count;
      step.scheduledAt = at;
      step.startedAt = at;
      return;
    case 'ChildEnded':
      step.ending = t.ending;
      return;
    case 'StepHeartbeat':
      if (t.details !== undefined) step.progress = t.details;
      return;
    case 'StepPaused':
      step.status = 'paused';
      step.attempt = t.attempt;
      step.error = t.error;
      return;
    case 'FlowStateChanged':
      step.flows = { ...step.flows, [t.attempt]: { flowRunId: t.flowRunId, state: t.state } };
      return;
    case 'StepRetryScheduled':
      step.status = 'backoff';
      step.attempt = t.attempt; // a durable function's attempts are not scheduled
      step.error = t.error;
      step.retryAt = t.retryAt;
      if (t.since !== undefined) step.since = t.since;
      if (t.error.lost) step.lost += 1;
      else step.failures += 1;
      return;
    case 'StepCompleted':
      step.status = 'completed';
      delete step.ending;
      step.attempt = t.attempt;
      step.output = t.output;
      step.endedAt = at;
      return;
    case 'StepFailed':
      step.status = 'failed';
      delete step.ending;
      step.attempt = t.attempt; // an attempt whose input could not be computed fails without having been scheduled
      step.error = t.error;
      step.endedAt = at;
      return;
    case 'StepCancelled':
      step.status = 'cancelled';
      delete step.ending;
      step.reason = t.reason;
      step.endedAt = at;
      return;
    case 'SignalAwaited':
    case 'SleepStarted':
      step.status = 'waiting';
      step.attempt = t.attempt;
      step.scheduledAt = at;
      step.startedAt = at;
      return;
    default:
      return unreachable(t);
  }
}
