/** Moves a running run as far as it can go without new input: schedules ready steps, skips, completes. */
import { compileExpression, evaluateCondition, type Json, STEP_VARIABLES, unreachable } from '../../kernel/index.ts';
import { tooDeep } from './child-ref.ts';
import { cancelTimers, closeRun, failStep, goOnClosing } from './closing.ts';
import type { StepDefinition } from './definition.ts';
import type { Draft } from './draft.ts';
import { fanOut, isFanOut, isOfItems, moveFanOuts } from './fan-out.ts';
import { startAttempt } from './start-attempt.ts';
import { isDone, stepOf } from './state.ts';
import { expressionFailure, inputOf, variables } from './variables.ts';

function begin(draft: Draft, step: StepDefinition): void {
  const attempt = stepOf(draft.state, step.name).attempt + 1;
  const { action } = step;
  if (isFanOut(step)) return fanOut(draft, step, attempt);
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
    case 'child': {
      const refused = tooDeep(draft.state, action.workflow);
      if (refused !== undefined) return failStep(draft, step, attempt, refused);
      return startAttempt(draft, step, attempt, inputOf(draft, step));
    }
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
    if (step.when !== undefined && !(isFanOut(step) && isOfItems(step.when))) {
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
  if (draft.state.closing !== undefined) return goOnClosing(draft);
  const { steps } = draft.definition;
  while (draft.state.status === 'running' && draft.state.closing === undefined) {
    const place = draft.ready.take();
    if (place === undefined) {
      if (draft.fans.size > 0 && moveFanOuts(draft)) continue;
      return complete(draft);
    }
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
  if (draft.definition.output === undefined) {
    cancelTimers(draft);
    return draft.emit({ type: 'RunCompleted' });
  }
  completeWith(draft, draft.definition.output);
}

/** What the run gives to whoever waits for it; an expression that fails is a failure of the run. */
function completeWith(draft: Draft, source: string): void {
  let output: Json;
  try {
    output = compileExpression(source, STEP_VARIABLES).evaluate(variables(draft));
  } catch (error) {
    const failure = expressionFailure(error);
    const message = `output of the workflow: ${failure.message}`;
    return closeRun(draft, { outcome: 'failed', error: { ...failure, message } }, message);
  }
  cancelTimers(draft);
  draft.emit({ type: 'RunCompleted', output });
}
