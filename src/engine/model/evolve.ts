/** evolve(state, transition) → state: the only way a run's state changes, live, on recovery and in replay. */
import { isOut, itemsOf, newRun, type RunState, type StepState } from './state.ts';
import { StateDraft } from './state-draft.ts';
import type { StoredEntry, Transition } from './transitions.ts';

/**
 * Applies one transition.
 * @param at the journal's time of the entry, ms since the epoch
 */
export function evolve(state: RunState, t: Transition, at: number): RunState {
  const draft = new StateDraft(state);
  draft.apply(t, at);
  return draft.state;
}

/** Applies a whole log entry. */
export function evolveEntry(state: RunState, entry: StoredEntry): RunState {
  const draft = new StateDraft(state);
  draft.entry(entry);
  return draft.state;
}

/** The state of a run whose log is given, oldest entry first. */
export function fold(workflow: string, runId: string, entries: readonly StoredEntry[]): RunState {
  return foldOnto(newRun(workflow, runId), entries);
}

/** The state after more entries, copied once for all of them. */
export function foldOnto(state: RunState, entries: readonly StoredEntry[]): RunState {
  const draft = new StateDraft(state, true);
  for (const entry of entries) draft.entry(entry);
  return draft.state;
}

/** Steps whose attempt is out (at a worker or at Prefect); of a step that is fanned out its items. */
export function stepsOut(state: RunState): readonly StepState[] {
  const out = Object.values(state.steps).filter((step) => isOut(step) && step.items === undefined);
  if (state.items !== undefined) for (const item of itemsOf(state)) if (isOut(item)) out.push(item);
  return out;
}
