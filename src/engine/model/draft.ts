/** The draft of a decision: transitions gathered one by one, the state kept current as they come. Internal to the model. */
import type { Definition } from './definition.ts';
import { evolve } from './evolve.ts';
import type { RunState } from './state.ts';
import { type TimerName, timerId } from './timers.ts';
import type { Transition } from './transitions.ts';

export class Draft {
  readonly definition: Definition;
  /** The journal's time of this decision, ms since the epoch. */
  readonly at: number;
  readonly transitions: Transition[] = [];
  state: RunState;

  constructor(definition: Definition, state: RunState, at: number) {
    this.definition = definition;
    this.state = state;
    this.at = at;
  }

  emit(transition: Transition): void {
    this.transitions.push(transition);
    this.state = evolve(this.state, transition, this.at);
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
