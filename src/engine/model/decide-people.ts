/** What people tell a run: a signal, that it may go on, a retry. Internal to the model. */
import { advance, giveSignal } from './advance.ts';
import type { Draft } from './draft.ts';
import type { BodyOf } from './inputs.ts';
import { beginRun } from './slots.ts';
import { isUndo, itemsOf, type StepStatus, stepOf } from './state.ts';

export function signal(draft: Draft, body: BodyOf<'signal'>): void {
  // A failed or cancelled run may be retried by hand, so its signals wait; nothing can take one of a completed run.
  if (draft.state.status === 'completed') return;
  const by = body.by === undefined ? {} : { by: body.by };
  draft.emit({ type: 'SignalReceived', name: body.name, payload: body.payload, ...by });
  if (draft.state.status !== 'running') return;
  for (const step of draft.index.signals) giveSignal(draft, step);
  advance(draft);
}

/** A person says that what is paused may go on. */
export function resume(draft: Draft, body: BodyOf<'resume'>): void {
  if (draft.state.status !== 'running') return;
  const by = body.by === undefined ? {} : { by: body.by };
  for (const { name, status } of [...Object.values(draft.state.steps), ...itemsOf(draft.state)]) {
    if (status !== 'paused' || (body.step !== undefined && body.step !== name)) continue;
    draft.emit({ type: 'StepResumed', step: name, ...by });
  }
  advance(draft);
}

/** What is done once more at a retry: what failed, what was stopped, what was undone; and what undid it may be needed again. */
const AGAIN: ReadonlySet<StepStatus> = new Set(['failed', 'cancelled', 'compensated']);

export function retry(draft: Draft, body: BodyOf<'retry'>): void {
  const { state } = draft;
  if (state.status !== 'failed' && state.status !== 'cancelled') return;
  const declared = draft.definition.steps
    .map(({ name }) => name)
    .filter((name) => AGAIN.has(stepOf(state, name).status));
  const undoing = Object.keys(state.steps).filter(isUndo);
  draft.emit({
    type: 'RunRetried',
    steps: [...declared, ...undoing],
    ...(body.by === undefined ? {} : { by: body.by }),
  });
  beginRun(draft);
}
