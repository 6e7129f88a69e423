/** Moves a running run as far as it can go without new input: schedules ready steps, skips, completes. */
import {
  backoffMs,
  compileExpression,
  evaluateCondition,
  isMillraceError,
  type Json,
  messageOf,
  STEP_VARIABLES,
  unreachable,
} from '../../kernel/index.ts';
import type { StepDefinition } from './definition.ts';
import type { Draft } from './draft.ts';
import type { Failure } from './inputs.ts';
import { isDone, isOut, stepOf } from './state.ts';

function variables(draft: Draft): Record<string, Json> {
  const { state } = draft;
  const completed: [string, Json][] = [];
  for (const step of Object.values(state.steps)) {
    if (step.status === 'completed') completed.push([step.name, step.output ?? null]);
  }
  const steps = Object.fromEntries(completed);
  const startedAt = state.startedAt ?? draft.at;
  return { payload: state.payload, steps, run: { id: state.runId, workflow: state.workflow, startedAt } };
}

function expressionFailure(error: unknown): Failure {
  const code = isMillraceError(error) ? error.code : 'MR_INTERNAL';
  const hint = isMillraceError(error) && error.hint !== undefined ? { hint: error.hint } : {};
  return { code, message: messageOf(error), ...hint, retryable: false, lost: false };
}

/** The input of a step: its `with` expressions, else the payload and the outputs of what it needs. */
function inputOf(draft: Draft, step: StepDefinition): Json {
  if (step.with !== undefined) {
    const vars = variables(draft);
    const members = Object.entries(step.with).map(
      ([name, source]) => [name, compileExpression(source, STEP_VARIABLES).evaluate(vars)] as const,
    );
    return Object.fromEntries(members);
  }
  const outputs = step.needs.map((name) => [name, stepOf(draft.state, name).output ?? null] as const);
  return { payload: draft.state.payload, steps: Object.fromEntries(outputs) };
}

function startAttempt(draft: Draft, step: StepDefinition, attempt: number, input: Json): void {
  draft.emit({ type: 'StepScheduled', step: step.name, attempt, input });
  if (step.timeoutMs !== undefined) {
    draft.setTimer({ kind: 'timeout', step: step.name, attempt }, step.timeoutMs);
  }
}

function begin(draft: Draft, step: StepDefinition): void {
  const attempt = stepOf(draft.state, step.name).attempt + 1;
  const { action } = step;
  switch (action.kind) {
    case 'worker':
    case 'prefect':
      return startAttempt(draft, step, attempt, inputOf(draft, step));
    case 'sleep':
      draft.emit({ type: 'SleepStarted', step: step.name, attempt });
      return draft.setTimer({ kind: 'sleep', step: step.name, attempt }, action.ms);
    case 'signal': {
      draft.emit({ type: 'SignalAwaited', step: step.name, attempt, name: action.name });
      if (action.timeoutMs !== undefined)
        draft.setTimer({ kind: 'signal', step: step.name, attempt }, action.timeoutMs);
      return giveSignal(draft, step);
    }
    case 'child':
      return startAttempt(draft, step, attempt, inputOf(draft, step));
    default:
      return unreachable(action);
  }
}

/** Completes a waiting signal step from the oldest buffered signal of its name, if there is one. */
export function giveSignal(draft: Draft, step: StepDefinition): void {
  const { action } = step;
  const waiting = stepOf(draft.state, step.name);
  if (action.kind !== 'signal' || waiting.status !== 'waiting') return;
  const signal = draft.state.signals.find((s) => s.name === action.name);
  if (signal === undefined) return;
  draft.emit({ type: 'SignalConsumed', name: action.name, step: step.name });
  draft.cancelTimer({ kind: 'signal', step: step.name, attempt: waiting.attempt });
  const output = { received: true, payload: signal.payload };
  draft.emit({ type: 'StepCompleted', step: step.name, attempt: waiting.attempt, output });
}

/** Looks at one pending step. */
function consider(draft: Draft, step: StepDefinition): void {
  const needs = step.needs.map((name) => stepOf(draft.state, name));
  if (!needs.every(isDone)) return;
  const skipped = needs.find((need) => need.status === 'skipped');
  if (skipped !== undefined) {
    return draft.emit({ type: 'StepSkipped', step: step.name, reason: `needs "${skipped.name}", which was skipped` });
  }
  try {
    if (step.when !== undefined) {
      const go = evaluateCondition(compileExpression(step.when, STEP_VARIABLES), variables(draft));
      if (!go) {
        return draft.emit({ type: 'StepSkipped', step: step.name, reason: `when: ${step.when}` });
      }
    }
    begin(draft, step);
  } catch (error) {
    failStep(draft, step, stepOf(draft.state, step.name).attempt + 1, expressionFailure(error));
  }
}

/** Schedules, skips and completes until nothing changes any more. */
export function advance(draft: Draft): void {
  const { steps } = draft.definition;
  while (draft.state.status === 'running') {
    const place = draft.ready.take();
    if (place === undefined) return complete(draft);
    const step = steps[place];
    if (step !== undefined && stepOf(draft.state, step.name).status === 'pending') consider(draft, step);
  }
}

/** The run is over when every step is; looked at from the end, where the last ones are. */
function complete(draft: Draft): void {
  const { steps } = draft.definition;
  for (let place = steps.length - 1; place >= 0; place--) {
    const step = steps[place];
    if (step !== undefined && !isDone(stepOf(draft.state, step.name))) return;
  }
  cancelTimers(draft);
  draft.emit({ type: 'RunCompleted' });
}

function cancelTimers(draft: Draft): void {
  for (const timer of Object.keys(draft.state.timers)) draft.emit({ type: 'TimerCancelled', timer });
}

/** Ends everything of the run that is still open, with the reason. */
export function closeOpenSteps(draft: Draft, reason: string): void {
  for (const step of draft.definition.steps) {
    const { status, attempt } = stepOf(draft.state, step.name);
    if (status === 'scheduled' || status === 'running' || status === 'waiting' || status === 'backoff') {
      draft.emit({ type: 'StepCancelled', step: step.name, attempt, reason });
    }
  }
  cancelTimers(draft);
}

/** A step has failed for good: the run fails, what else is open is cancelled. */
export function failStep(draft: Draft, step: StepDefinition, attempt: number, error: Failure): void {
  draft.emit({ type: 'StepFailed', step: step.name, attempt, error });
  closeOpenSteps(draft, `step "${step.name}" failed`);
  draft.emit({ type: 'RunFailed', error, step: step.name });
}

/** An attempt has failed: tries again if the policy allows it, else fails the step. */
export function failAttempt(draft: Draft, step: StepDefinition, error: Failure): void {
  const { attempt, failures, lost } = stepOf(draft.state, step.name);
  draft.cancelTimer({ kind: 'timeout', step: step.name, attempt });
  const left = error.lost ? lost < step.retry.maxLost : failures + 1 < step.retry.maxAttempts;
  const again = error.retryable && left;
  if (!again) return failStep(draft, step, attempt, error);
  const nth = error.lost ? lost + 1 : failures + 1;
  const delay = backoffMs(step.retry, nth, `${draft.state.runId}/${step.name}`);
  draft.emit({ type: 'StepRetryScheduled', step: step.name, attempt, error, retryAt: draft.at + delay });
  draft.setTimer({ kind: 'retry', step: step.name, attempt }, delay);
}

/** The backoff is over: the next attempt, with the same input. */
export function retryAttempt(draft: Draft, step: StepDefinition): void {
  const { attempt, input, status } = stepOf(draft.state, step.name);
  if (status === 'backoff') startAttempt(draft, step, attempt + 1, input ?? null);
}

/** Completes the attempt that is out. */
export function completeAttempt(draft: Draft, step: StepDefinition, output: Json): void {
  const current = stepOf(draft.state, step.name);
  if (!isOut(current) && current.status !== 'waiting') return;
  draft.cancelTimer({ kind: 'timeout', step: step.name, attempt: current.attempt });
  draft.emit({ type: 'StepCompleted', step: step.name, attempt: current.attempt, output });
}
