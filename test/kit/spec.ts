/**
 * Given / when / then for the model, compared exactly and in order:
 *
 *   given(definition, started(), succeeded('a', 1)).when(succeeded('b', 1)).stores({ type: 'StepCompleted', … });
 *
 * The n-th input has sequence 2n - 1 and time `at(n)`, its log entry sequence 2n, so times in expectations can be counted.
 */
import { expect } from 'vitest';
import type {
  Command,
  Definition,
  Failure,
  FlowState,
  InputBody,
  RunState,
  Transition,
} from '../../src/engine/index.ts';
import type { Json } from '../../src/kernel/index.ts';
import { at, RUN_ID, Story } from '../../src/testing/story.ts';

export { at, RUN_ID, Story };

type Body<K extends InputBody['kind']> = Extract<InputBody, { kind: K }>;

/** A start; `digest` is filled in by {@link given}. */
export const started = (payload: Json = null, more: Partial<Body<'start'>> = {}): Body<'start'> => ({
  v: 1,
  kind: 'start',
  digest: '',
  payload,
  trace: TRACE,
  ...more,
});
export const TRACE = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` } as const;
export const began = (step: string, attempt: number, worker = 'w1'): InputBody => ({
  v: 1,
  kind: 'task.started',
  step,
  attempt,
  worker,
});
export const succeeded = (step: string, attempt: number, output: Json = null): InputBody => ({
  v: 1,
  kind: 'task.succeeded',
  step,
  attempt,
  output,
});
export const failure = (more: Partial<Failure> = {}): Failure => ({
  code: 'MR_STEP_FAILED',
  message: 'no',
  retryable: true,
  lost: false,
  ...more,
});
export const failed = (step: string, attempt: number, more: Partial<Failure> = {}): InputBody => ({
  v: 1,
  kind: 'task.failed',
  step,
  attempt,
  error: failure(more),
});
export const fired = (timer: string, at?: number): InputBody => ({
  v: 1,
  kind: 'timer',
  timer,
  ...(at === undefined ? {} : { at }),
});
export const heartbeat = (step: string, attempt: number, details?: Json, worker?: string): InputBody => ({
  v: 1,
  kind: 'task.heartbeat',
  step,
  attempt,
  ...(details === undefined ? {} : { details }),
  ...(worker === undefined ? {} : { worker }),
});
export const signalled = (name: string, payload: Json = null): InputBody => ({ v: 1, kind: 'signal', name, payload });
export const cancelled = (reason = 'enough'): InputBody => ({ v: 1, kind: 'cancel', reason });
export const cancelledWithin = (graceMs: number, reason = 'enough'): InputBody => ({
  v: 1,
  kind: 'cancel',
  reason,
  graceMs,
});
export const killed = (reason = 'now'): InputBody => ({ v: 1, kind: 'kill', reason });
export const resumed = (step?: string): InputBody => ({
  v: 1,
  kind: 'resume',
  ...(step === undefined ? {} : { step }),
});
export const retried = (): InputBody => ({ v: 1, kind: 'retry' });
export const flowState = (type: FlowState['type'], time: number, name: string = type): FlowState => ({
  type,
  name,
  at: time,
});
export const flow = (
  step: string,
  attempt: number,
  state: FlowState,
  more: Partial<Body<'flow'>> = {},
): Body<'flow'> => ({
  v: 1,
  kind: 'flow',
  step,
  attempt,
  flowRunId: `f${attempt}`,
  state,
  source: 'host',
  ...more,
});

class Outcome {
  readonly story: Story;
  readonly #transitions: readonly Transition[];
  readonly #commands: readonly Command[];

  constructor(story: Story, body: InputBody) {
    this.story = story;
    const { transitions, commands } = story.feed(body);
    this.#transitions = transitions;
    this.#commands = commands;
    expect(story.refold(), 'the log folds to the live state').toStrictEqual(story.state);
  }

  /** Exactly these transitions, in this order. */
  stores(...expected: readonly Transition[]): this {
    expect(this.#transitions).toStrictEqual(expected);
    return this;
  }

  /** Nothing: the input is acknowledged and forgotten. */
  storesNothing(): this {
    return this.stores();
  }

  /** Exactly these commands, in this order; events for others to bind to are looked at only when `events` is true. */
  commands(expected: readonly Command[], options: { events: boolean } = { events: false }): this {
    const got = options.events ? this.#commands : this.#commands.filter(({ kind }) => kind !== 'event');
    expect(got).toStrictEqual(expected);
    return this;
  }

  /** The run afterwards: its status, the steps' statuses by name, the timers set. */
  leaves(status: RunState['status'], steps: Readonly<Record<string, string>>, timers: readonly string[] = []): this {
    const { state } = this.story;
    expect(state.status).toBe(status);
    expect(
      Object.fromEntries(Object.values(state.steps).map((s) => [s.name, `${s.status} ${s.attempt}`])),
    ).toStrictEqual(steps);
    expect(Object.keys(state.timers)).toStrictEqual([...timers]);
    return this;
  }

  /** The next input. */
  when(body: InputBody): Outcome {
    return new Outcome(this.story, body);
  }
}

/** A run of the definition that has had these inputs. */
export function given(definition: Definition, ...inputs: readonly InputBody[]): { when(body: InputBody): Outcome } {
  const story = new Story(definition);
  for (const body of inputs) story.feed(body);
  return { when: (body) => new Outcome(story, body) };
}
