/** What expressions of a step see of its run, and the input they make. Internal to the model. */
import { compileExpression, isMillraceError, type Json, messageOf, STEP_VARIABLES } from '../../kernel/index.ts';
import type { StepDefinition } from './definition.ts';
import type { Draft } from './draft.ts';
import type { Failure } from './inputs.ts';
import { stepOf } from './state.ts';

/** @param among steps that are seen, all by default */
export function variables(draft: Draft, among?: ReadonlySet<string>): Record<string, Json> {
  const { state } = draft;
  const completed: [string, Json][] = [];
  for (const step of Object.values(state.steps)) {
    if (among !== undefined && !among.has(step.name)) continue;
    if (step.status === 'completed' || step.status === 'compensated') completed.push([step.name, step.output ?? null]);
  }
  const steps = Object.fromEntries(completed);
  const startedAt = state.startedAt ?? draft.at;
  return { payload: state.payload, steps, run: { id: state.runId, workflow: state.workflow, startedAt } };
}

export function expressionFailure(error: unknown): Failure {
  const code = isMillraceError(error) ? error.code : 'MR_INTERNAL';
  const hint = isMillraceError(error) && error.hint !== undefined ? { hint: error.hint } : {};
  return { code, message: messageOf(error), ...hint, retryable: false, lost: false };
}

/** The values of expressions by member. */
export function membersOf(draft: Draft, sources: Readonly<Record<string, string>>): Json {
  const vars = variables(draft);
  const members = Object.entries(sources).map(
    ([name, source]) => [name, compileExpression(source, STEP_VARIABLES).evaluate(vars)] as const,
  );
  return Object.fromEntries(members);
}

/** The input of a step: its `with` expressions, else the payload and the outputs of what it needs. */
export function inputOf(draft: Draft, step: StepDefinition): Json {
  if (step.with !== undefined) return membersOf(draft, step.with);
  const outputs = step.needs.map((name) => [name, stepOf(draft.state, name).output ?? null] as const);
  return { payload: draft.state.payload, steps: Object.fromEntries(outputs) };
}
