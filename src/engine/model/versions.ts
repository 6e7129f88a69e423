/** Moving a run that is under way to another definition of its workflow: when that is possible, and what it does (ADR 0024). */
import { advance, giveSignal } from './advance.ts';
import type { Definition } from './definition.ts';
import { findStep } from './definition-index.ts';
import type { Draft } from './draft.ts';
import type { BodyOf } from './inputs.ts';
import { isUndo, type RunState, undoneBy } from './state.ts';

/**
 * Why the run cannot go on by the other definition, a sentence each; none: it can. The rule: every step that anything has
 * happened to is there under its name, does the same kind of thing, and is one step or one over a list as before.
 * @param from the run's present definition
 */
export function whyNotMovable(from: Definition, to: Definition, state: RunState): readonly string[] {
  if (from.name !== to.name) return [`${to.digest} is a definition of ${to.name}, not of ${from.name}`];
  if (from.code === true || to.code === true) return ['a durable function runs by the code of its workers'];
  if (state.status === 'new') return ['it has not begun'];
  if (state.status === 'queued') return ['it waits for slots that its definition names'];
  if (state.status === 'completed') return ['it has completed'];
  if (state.closing !== undefined) return ['it is being closed'];
  if (from.digest === to.digest) return [`it runs by ${to.digest} already`];
  return Object.values(state.steps).flatMap(({ name, status, attempt }) =>
    status === 'pending' && attempt === 0 ? [] : whyNotStep(from, to, name),
  );
}

function whyNotStep(from: Definition, to: Definition, name: string): string[] {
  const before = findStep(from, name);
  const after = findStep(to, name);
  if (before === undefined) return [];
  if (after === undefined) {
    const what = isUndo(name) ? `the compensation of step "${undoneBy(name)}"` : `step "${name}"`;
    return [`${what} has begun, and the other definition does not have it`];
  }
  if (before.action.kind !== after.action.kind) {
    return [`step "${name}" has begun as ${before.action.kind}, and would be ${after.action.kind}`];
  }
  if ((before.forEach === undefined) === (after.forEach === undefined)) return [];
  return [
    `step "${name}" has begun ${before.forEach === undefined ? 'without' : 'with'} forEach, and would go on otherwise`,
  ];
}

/** The draft's definition is the one that the run moves to. */
export function moveRun(draft: Draft, from: Definition, body: BodyOf<'move'>): void {
  const { definition } = draft;
  if (definition.digest !== body.digest || whyNotMovable(from, definition, draft.state).length > 0) return;
  draft.emit({ type: 'RunMoved', digest: body.digest, ...(body.by === undefined ? {} : { by: body.by }) });
  if (draft.state.status !== 'running') return; // it goes on when it is retried by hand
  for (const step of draft.index.signals) giveSignal(draft, step);
  draft.ready.add(definition.steps.keys());
  for (const step of definition.steps) if (step.forEach !== undefined) draft.fans.set(step.name, []);
  advance(draft);
}
