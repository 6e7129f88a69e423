/**
 * Given / when / then for histories, compared exactly and in order:
 *
 * ```ts
 * given(definition, start({ n: 1 })).when(succeeded('a', 1)).stores({ type: 'StepCompleted', step: 'a', attempt: 1, output: null });
 * await givenRun(order, history).when(signal('approved', true)).stores(…);
 * ```
 */
import { deepStrictEqual } from 'node:assert';
import type { Command, Definition, Failure, InputBody, RunState, StoredEntry, Transition } from '../engine/index.ts';
import type { RunHistory, ServedFunction } from '../functions/index.ts';
import type { Json } from '../kernel/index.ts';
import { testEnvironment } from './environment.node.ts';
import { Story } from './story.ts';

/** An input that starts a run of the definition at hand. */
export const start = (payload: Json = null): InputBody => ({ v: 1, kind: 'start', digest: '', payload });
/** An attempt of a worker's step succeeded. */
export const succeeded = (step: string, attempt: number, output: Json = null): InputBody => ({
  v: 1,
  kind: 'task.succeeded',
  step,
  attempt,
  output,
});
/** An attempt of a worker's step failed. */
export const failed = (step: string, attempt: number, error: Partial<Failure> = {}): InputBody => ({
  v: 1,
  kind: 'task.failed',
  step,
  attempt,
  error: { code: 'MR_STEP_FAILED', message: 'failed', retryable: true, lost: false, ...error },
});
/** A timer fired, for example `retry/charge/1`. */
export const timer = (name: string): InputBody => ({ v: 1, kind: 'timer', timer: name });
/** A signal came. */
export const signal = (name: string, payload: Json = null): InputBody => ({ v: 1, kind: 'signal', name, payload });
/** Somebody cancels the run. */
export const cancel = (reason = 'enough'): InputBody => ({ v: 1, kind: 'cancel', reason });

/** What an input of a declared workflow came to; each check throws an AssertionError with the difference. */
export class Outcome {
  readonly #story: Story;
  readonly #transitions: readonly Transition[];
  readonly #commands: readonly Command[];

  /** @internal */
  constructor(story: Story, body: InputBody) {
    this.#story = story;
    const { transitions, commands } = story.feed(body);
    this.#transitions = transitions;
    this.#commands = commands;
  }

  /** Exactly these transitions, in this order; none: the input changes nothing. */
  stores(...expected: readonly Transition[]): this {
    deepStrictEqual(this.#transitions, expected);
    return this;
  }

  /** Exactly these commands, in this order; events for others to bind to are left out. */
  sends(...expected: readonly Command[]): this {
    deepStrictEqual(
      this.#commands.filter(({ kind }) => kind !== 'event'),
      expected,
    );
    return this;
  }

  /** The run afterwards: its status, and its steps' statuses by name. */
  leaves(status: RunState['status'], steps: Readonly<Record<string, string>>): this {
    const { state } = this.#story;
    const found = Object.fromEntries(Object.values(state.steps).map((step) => [step.name, step.status]));
    deepStrictEqual({ status: state.status, steps: found }, { status, steps });
    return this;
  }

  /** The next input. */
  when(body: InputBody): Outcome {
    return new Outcome(this.#story, body);
  }
}

/** A run of a declared workflow that has had these inputs, the first of them its {@link start}. */
export function given(definition: Definition, ...inputs: readonly InputBody[]): { when(body: InputBody): Outcome } {
  const story = new Story(definition);
  for (const body of inputs) story.feed(body);
  return { when: (body) => new Outcome(story, body) };
}

/** What an input of a durable function came to. */
export class RunOutcome {
  readonly #entries: Promise<readonly StoredEntry[]>;

  /** @internal */
  constructor(entries: Promise<readonly StoredEntry[]>) {
    this.#entries = entries;
  }

  /** Exactly these transitions, in this order. @throws AssertionError with the difference */
  async stores(...expected: readonly Transition[]): Promise<void> {
    deepStrictEqual(
      (await this.#entries).flatMap(({ transitions }) => transitions),
      expected,
    );
  }
}

/** A run of a durable function that has this history. The code goes on from there, in an environment of its own. */
export function givenRun(
  fn: ServedFunction,
  history: Omit<RunHistory, 'inputs'>,
): { when(body: InputBody): RunOutcome } {
  const after = async (body: InputBody): Promise<readonly StoredEntry[]> => {
    const env = await testEnvironment({ workflows: [fn], now: history.entries.at(-1)?.at ?? 0 });
    const run = env.load(history);
    await run.send(body);
    return run.history.entries.slice(history.entries.length);
  };
  return { when: (body) => new RunOutcome(after(body)) };
}
