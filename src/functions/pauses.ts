/**
 * Steps that wait for a person: their attempts are used up, and their policy is to pause.
 *
 *   F11 a paused step begins again when `StepResumed` is in the log, whoever wrote it there, and not before.
 */
import type { StepState } from '../engine/index.ts';
import type { PausedStep, PausesOfRun, Runtime } from './runtime.ts';
import type { Batch } from './tail.ts';

/** Paused steps of a state: the one named, else all. */
export function pausedSteps(steps: Readonly<Record<string, StepState>>, step?: string): readonly string[] {
  return Object.values(steps).flatMap(({ name, status }) =>
    status === 'paused' && (step === undefined || step === name) ? [name] : [],
  );
}

export class Pauses implements PausesOfRun {
  readonly #execution: Runtime;
  readonly #paused = new Map<string, PausedStep>();
  /** Recalled as paused, and the code has come to them. */
  readonly #met = new Set<string>();
  /** Resumed before the code came to them. */
  readonly #early = new Set<string>();

  constructor(execution: Runtime) {
    this.#execution = execution;
  }

  get count(): number {
    return this.#paused.size;
  }

  /** The step rests from now on; its pause is in the log, or on its way there. */
  add(id: string, step: PausedStep): void {
    this.#met.add(id);
    if (this.#early.delete(id)) return step.resume();
    this.#paused.set(id, step);
    this.#execution.leave();
  }

  /** A person says that the step (all of them, if none is named) may go on. Gives where that is recorded; undefined when it means nothing. */
  resume(step: string | undefined, by: string | undefined): Batch | undefined {
    let batch: Batch | undefined;
    for (const id of this.#waiting(step)) {
      batch = this.#execution.push({ type: 'StepResumed', step: id, ...(by === undefined ? {} : { by }) });
      this.resumed(id);
    }
    return batch;
  }

  /** Whether a resume of the step (of any, if none is named) means something. */
  waits(step: string | undefined): boolean {
    return this.#waiting(step).length > 0;
  }

  #waiting(step: string | undefined): readonly string[] {
    const recalled = pausedSteps(this.#execution.recalled.state.steps, step);
    const here = [...this.#paused.keys()].filter((id) => step === undefined || id === step);
    return [...here, ...recalled.filter((id) => !this.#met.has(id) && !this.#early.has(id))];
  }

  /** The code has lost interest in the step; false when it is not paused. */
  drop(id: string): boolean {
    return this.#paused.delete(id);
  }

  /** The run ends. */
  cancelAll(reason: string): void {
    for (const id of this.#waiting(undefined)) {
      const attempt = this.#execution.recalled.state.steps[id]?.attempt ?? 1;
      this.#execution.push({
        type: 'StepCancelled',
        step: id,
        attempt: this.#paused.get(id)?.attempt ?? attempt,
        reason,
      });
    }
    this.#paused.clear();
  }

  /** The log says that it goes on, or will with what was just pushed. */
  resumed(id: string): void {
    const paused = this.#paused.get(id);
    if (paused === undefined) {
      if (!this.#met.has(id)) this.#early.add(id);
      return;
    }
    this.#paused.delete(id);
    this.#execution.enter();
    paused.resume();
  }
}
