/** Steps that are runs of their own: what is started, and what its end means to the step. Internal to the model. */
import type { Json } from '../../kernel/index.ts';
import { advance } from './advance.ts';
import { cancelAttempt, completeAttempt, failAttempt } from './attempts.ts';
import { out } from './decide-tasks.ts';
import type { Definition } from './definition.ts';
import { indexOf } from './definition-index.ts';
import type { Draft } from './draft.ts';
import type { BodyOf, Failure, RunEnding } from './inputs.ts';
import { type RunState, stepOf } from './state.ts';
import type { ChildRef, Transition } from './transitions.ts';

/** A child's end, as told by itself or by whoever could not start it. */
export function childEnded(draft: Draft, body: BodyOf<'child'>): void {
  const step = out(draft, body, ['child']);
  if (step === undefined) return;
  const { child } = stepOf(draft.state, body.step);
  if (child?.runId !== body.runId || child.workflow !== body.workflow) return;
  const { ending } = body;
  if (ending.status === 'completed') {
    completeAttempt(draft, step, ending.output);
    return advance(draft);
  }
  draft.emit({ type: 'ChildEnded', step: step.name, attempt: body.attempt, runId: child.runId, ending });
  // It was told to end, and has in time.
  const stopped = ending.status === 'cancelled' && draft.state.closing !== undefined;
  if (stopped) cancelAttempt(draft, step.name, ending.reason);
  else failAttempt(draft, step, failureOf(child, ending));
}

/** A child that failed is tried again as the step's policy says, unless its failure is one that no attempt can help. */
function failureOf(child: ChildRef, ending: Exclude<RunEnding, { status: 'completed' }>): Failure {
  if (ending.status === 'failed') {
    const { error } = ending;
    return { ...error, message: `child run ${child.runId} of ${child.workflow}: ${error.message}`, lost: false };
  }
  const message = `child run ${child.runId} of ${child.workflow} was cancelled: ${ending.reason}`;
  return { code: 'MR_CHILD_CANCELLED', message, retryable: false, lost: false };
}

type RunEnd = Extract<Transition, { readonly type: 'RunCompleted' | 'RunFailed' | 'RunCancelled' }>;

export function isRunEnd(t: Transition): t is RunEnd {
  return t.type === 'RunCompleted' || t.type === 'RunFailed' || t.type === 'RunCancelled';
}

/** What a run that ends so tells its parent. */
export function endingOf(definition: Definition, before: RunState, t: RunEnd): RunEnding {
  switch (t.type) {
    case 'RunCompleted':
      return { status: 'completed', output: t.output ?? lastOutputs(definition, before) };
    case 'RunFailed':
      return { status: 'failed', error: t.error };
    case 'RunCancelled':
      return { status: 'cancelled', reason: t.reason };
  }
}

/** The outputs, by name, of the completed steps that no other needs. */
function lastOutputs(definition: Definition, state: RunState): Json {
  const { dependents } = indexOf(definition);
  const outputs: [string, Json][] = [];
  for (const [place, { name }] of definition.steps.entries()) {
    const step = stepOf(state, name);
    if (dependents[place]?.length === 0 && step.status === 'completed') outputs.push([name, step.output ?? null]);
  }
  return Object.fromEntries(outputs);
}
