/** One run of a test environment, as a test holds it. Pure. */
import type { InputBody, RunRef, RunState, Transition } from '../engine/index.ts';
import { type Ending, endingOfState, RunError, type RunHistory } from '../functions/index.ts';
import type { Json } from '../kernel/index.ts';
import type { MemoryServer } from './server.ts';

/** What a run needs of its environment. */
export interface RunOwner {
  readonly server: MemoryServer;
  /** Lets time pass until the run ends. */
  ended(run: RunRef): Promise<Ending>;
  settle(): Promise<void>;
}

/** A run in a test environment. */
export class TestRun<O = Json> {
  readonly workflow: string;
  readonly runId: string;
  readonly #owner: RunOwner;

  constructor(owner: RunOwner, run: RunRef) {
    this.#owner = owner;
    this.workflow = run.workflow;
    this.runId = run.runId;
  }

  get #run(): RunRef {
    return { workflow: this.workflow, runId: this.runId };
  }

  /**
   * What the run gives; time moves on by itself until it has ended.
   * @throws RunError when it failed or was cancelled
   * @throws MillraceError MR_RUN_STATE when it waits for something that nobody will send
   */
  async result(): Promise<O> {
    const ending = await this.ending();
    if (ending.status === 'completed') return ending.output as O; // what its code returned, as JSON
    throw new RunError(this.runId, ending);
  }

  /** How the run ended, whichever way; time moves on by itself until then. @throws MillraceError MR_RUN_STATE as `result` does */
  ending(): Promise<Ending> {
    return this.#owner.ended(this.#run);
  }

  /** Sends a signal, and lets everything that follows at this time happen. */
  signal(name: string, payload: Json = null): Promise<void> {
    return this.send({ v: 1, kind: 'signal', name, payload });
  }

  /** Cancels the run. */
  cancel(reason = 'cancelled by the test'): Promise<void> {
    return this.send({ v: 1, kind: 'cancel', reason });
  }

  /** Ends the run at once: nothing is compensated. */
  kill(reason = 'killed by the test'): Promise<void> {
    return this.send({ v: 1, kind: 'kill', reason });
  }

  /** Gives what failed new attempts. */
  retry(): Promise<void> {
    return this.send({ v: 1, kind: 'retry' });
  }

  /** Lets paused steps go on: the one named, else all. */
  resume(step?: string): Promise<void> {
    return this.send({ v: 1, kind: 'resume', ...(step === undefined ? {} : { step }) });
  }

  /** Sends any input, once or more often, and lets everything that follows at this time happen. */
  async send(body: InputBody, times = 1): Promise<void> {
    for (let time = 0; time < times; time++) await this.#owner.server.send(this.#run, body);
    await this.#owner.settle();
  }

  /** The run as its log says now. */
  get state(): RunState {
    return this.#owner.server.state(this.#run);
  }

  /** How it ended; undefined while it has not. */
  get endedAs(): Ending | undefined {
    return endingOfState(this.state);
  }

  /** Everything that was decided, in order. */
  get transitions(): readonly Transition[] {
    return this.#owner.server.log(this.#run).flatMap(({ transitions }) => transitions);
  }

  /** The run's journal, to replay. */
  get history(): RunHistory {
    const { server } = this.#owner;
    const stored = server.broker.stream(this.workflow).inputs.get(this.runId) ?? [];
    const decoder = new TextDecoder();
    const inputs = stored.map(({ seq, at, data }) => ({
      seq,
      at,
      body: JSON.parse(decoder.decode(data)) as InputBody,
    }));
    return { ...this.#run, entries: server.log(this.#run), inputs };
  }
}
