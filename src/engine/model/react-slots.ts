/** The commands of flow control that follow from an entry: see slots.ts. Only for definitions that have limits. Internal to the model. */
import type { Command } from './commands.ts';
import type { Definition } from './definition.ts';
import { findStep } from './definition-index.ts';
import { askForAttempt, askNext, freeAll, freeAsked, freeAttempt } from './slots.ts';
import { limitOf } from './start-attempt.ts';
import { type RunState, stepOf } from './state.ts';
import { StateDraft } from './state-draft.ts';
import type { LogEntry, Transition } from './transitions.ts';

export type HandOut = (
  definition: Definition,
  state: RunState,
  t: { readonly step: string; readonly attempt: number; readonly input: RunState['payload'] },
) => Command[];

export function reactSlots(
  definition: Definition,
  before: RunState,
  entry: Pick<LogEntry, 'at' | 'transitions'>,
  handOut: HandOut,
): Command[] {
  const commands: Command[] = [];
  const draft = new StateDraft(before);
  for (const t of entry.transitions) {
    // What an end gives back is known before it, what is to be asked next after what has been granted.
    if (t.type === 'RunAdmitted') commands.push(...freeAsked(draft.state)); // admitted to be undone, without all it asked
    if (t.type === 'RunCompleted' || t.type === 'RunFailed' || t.type === 'RunCancelled') {
      commands.push(...freeAll(definition, draft.state));
    }
    draft.apply(t, entry.at);
    commands.push(...after(definition, draft.state, t, handOut));
  }
  return commands;
}

function after(definition: Definition, state: RunState, t: Transition, handOut: HandOut): Command[] {
  switch (t.type) {
    case 'RunQueued':
      return askNext(definition, state);
    case 'SlotGranted': {
      if (t.step === undefined || t.attempt === undefined) return askNext(definition, state);
      const { step, attempt } = t;
      return handOut(definition, state, { step, attempt, input: stepOf(state, step).input ?? null });
    }
    case 'StepScheduled': {
      const step = findStep(definition, t.step);
      const limit = step === undefined ? undefined : limitOf(step);
      return limit === undefined ? [] : [askForAttempt(limit, state, t.step, t.attempt)];
    }
    case 'StepCompleted':
    case 'StepFailed':
    case 'StepRetryScheduled':
    case 'StepPaused':
    case 'StepCancelled':
      return freeAttempt(definition, t.step, t.attempt);
    default:
      return [];
  }
}
