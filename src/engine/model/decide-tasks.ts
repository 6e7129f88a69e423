/** Reports of workers: an attempt began, succeeded, failed. Internal to the model. */
import { advance } from './advance.ts';
import { completeAttempt, failAttempt } from './attempts.ts';
import type { StepDefinition } from './definition.ts';
import { findStep } from './definition-index.ts';
import type { Draft } from './draft.ts';
import type { BodyOf } from './inputs.ts';
import { begun } from './start-attempt.ts';
import { isOut, stepOf } from './state.ts';

/**
 * The step, when this attempt of it is out at `where`; else undefined: the report is late or strange (anybody may publish)
 * and counts for nothing.
 */
export function out(
  draft: Draft,
  body: { step: string; attempt: number },
  where: readonly StepDefinition['action']['kind'][],
): StepDefinition | undefined {
  const step = findStep(draft.definition, body.step);
  if (step === undefined || !where.includes(step.action.kind) || draft.state.status !== 'running') return undefined;
  const current = stepOf(draft.state, body.step);
  if (step.forEach !== undefined) return undefined; // its items are out, not the step
  return isOut(current) && current.attempt === body.attempt ? step : undefined;
}

/**
 * A short attempt is reported once, by its result: the result says who worked and since when. That time is the worker's
 * clock, so it is taken only as far as the journal's times allow.
 */
function begunBefore(draft: Draft, step: StepDefinition, body: BodyOf<'task.succeeded' | 'task.failed'>): void {
  const { worker, startedAt = draft.at, attempt } = body;
  const { status, scheduledAt = draft.at } = stepOf(draft.state, step.name);
  if (worker === undefined || status !== 'scheduled') return;
  const began = Math.min(Math.max(startedAt, scheduledAt), draft.at);
  draft.emit({ type: 'StepStarted', step: step.name, attempt, worker, startedAt: began });
}

export function taskStarted(draft: Draft, body: BodyOf<'task.started'>): void {
  const step = out(draft, body, ['worker']);
  if (step !== undefined) begun(draft, step, body.attempt, body.worker);
}

/** The attempt lives. Its worker sends these seldom enough to be kept. */
export function taskHeartbeat(draft: Draft, body: BodyOf<'task.heartbeat'>): void {
  const step = out(draft, body, ['worker']);
  if (step === undefined) return;
  const { attempt, details, worker } = body;
  const timed = step.heartbeatTimeoutMs;
  if (details !== undefined || timed !== undefined) {
    draft.emit({ type: 'StepHeartbeat', step: body.step, attempt, ...(details === undefined ? {} : { details }) });
  }
  if (worker !== undefined && stepOf(draft.state, body.step).status === 'scheduled') {
    return begun(draft, step, attempt, worker); // the report of the start comes later, or never
  }
  if (timed !== undefined) draft.setTimer({ kind: 'heartbeat', step: body.step, attempt }, timed);
}

export function taskSucceeded(draft: Draft, body: BodyOf<'task.succeeded'>): void {
  const step = out(draft, body, ['worker']);
  if (step === undefined) return;
  begunBefore(draft, step, body);
  completeAttempt(draft, step, body.output);
  advance(draft);
}

/** A dispatch that no flow host would take is given up in the same words as a task. */
export function taskFailed(draft: Draft, body: BodyOf<'task.failed'>): void {
  const step = out(draft, body, ['worker', 'prefect']);
  if (step === undefined) return;
  begunBefore(draft, step, body);
  failAttempt(draft, step, body.error);
}
