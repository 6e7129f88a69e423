/** The draft of a decision: transitions gathered one by one, the state kept current as they come. Internal to the model. */
import type { Definition } from './definition.ts';
import { type DefinitionIndex, indexOf } from './definition-index.ts';
import { ReadySteps } from './ready-steps.ts';
import { itemAt, type RunState } from './state.ts';
import { StateDraft } from './state-draft.ts';
import { type TimerName, timerId } from './timers.ts';
import type { Transition } from './transitions.ts';

export class Draft {
  readonly definition: Definition;
  readonly index: DefinitionIndex;
  /** The journal's time of this decision, ms since the epoch. */
  readonly at: number;
  readonly transitions: Transition[] = [];
  /** Steps that may have become ready by what was emitted. */
  readonly ready: ReadySteps;
  /** Steps over lists of which an item has ended or may go on: the numbers of those that may. */
  readonly fans = new Map<string, number[]>();
  readonly #draft: StateDraft;

  constructor(definition: Definition, state: RunState, at: number) {
    this.definition = definition;
    this.index = indexOf(definition);
    this.at = at;
    this.ready = new ReadySteps(definition.steps.length);
    this.#draft = new StateDraft(state);
  }

  /** The state after what was emitted so far. */
  get state(): RunState {
    return this.#draft.state;
  }

  emit(transition: Transition): void {
    this.transitions.push(transition);
    this.#draft.apply(transition, this.at);
    switch (transition.type) {
      case 'RunStarted':
        return this.ready.add(this.index.roots);
      case 'StepResumed': {
        const place = this.index.places.get(transition.step);
        return place === undefined ? this.#itemMoved(transition.step, true) : this.ready.add([place]);
      }
      case 'StepCompleted':
      case 'StepSkipped': {
        const place = this.index.places.get(transition.step);
        if (place === undefined) return this.#itemMoved(transition.step);
        return this.ready.add(this.index.dependents[place] ?? []);
      }
      case 'StepFailed':
        return this.#itemMoved(transition.step);
      case 'RunRetried':
      case 'RunAdmitted':
        return this.ready.add(this.definition.steps.keys());
      default:
    }
  }

  #itemMoved(name: string, resumed = false): void {
    const at = this.state.items === undefined ? undefined : itemAt(name);
    if (at === undefined) return;
    const moved = this.fans.get(at.step) ?? [];
    this.fans.set(at.step, resumed ? [...moved, at.n] : moved);
  }

  setTimer(timer: TimerName, afterMs: number): void {
    this.emit({ type: 'TimerSet', timer: timerId(timer), at: this.at + afterMs });
  }

  /** Cancels the timer if it is still set. */
  cancelTimer(timer: TimerName): void {
    const id = timerId(timer);
    if (this.state.timers[id] !== undefined) this.emit({ type: 'TimerCancelled', timer: id });
  }
}
