/** What stands in for the code of steps. Pure. */
import { jsonSchema } from '../engine/index.ts';
import { type AnyStep, type StepCall, step } from '../worker/index.ts';

/** Stands in for a step's code. `input` is what the step was called with; a function's plain step has none. */
export type Mock = (input: never, call: StepCall) => unknown;
type Called = (input: unknown, call: StepCall) => unknown;

export class Mocks {
  readonly #mocks = new Map<string, Called>();
  /** Told when there is a new one. */
  changed: () => void = () => {};

  set(name: string, mock: Mock): void {
    this.#mocks.set(name, mock as Called);
    this.changed();
  }

  delete(name: string): void {
    this.#mocks.delete(name);
  }

  /** The mock of a step, a handler, or an operation's name without its number. */
  of(name: string): Called | undefined {
    return this.#mocks.get(name) ?? this.#mocks.get(name.replace(/#\d+$/, ''));
  }

  /** A step that there is no code for, only a mock: it takes and gives any JSON. */
  step(name: string): AnyStep {
    return step({ name, input: jsonSchema, output: jsonSchema, run: () => null });
  }
}
