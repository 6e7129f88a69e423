/** A step of a durable function: its attempts, their records, their retries. */
import type { Failure, StepState } from '../engine/index.ts';
import { backoffMs, MillraceError } from '../kernel/index.ts';
import { failureOf, StepError } from './errors.ts';
import { asJson, copyOf } from './json.ts';
import type { Runtime } from './runtime.ts';
import type { Effect } from './tail.ts';
import type { StepAttempt, StepOptions } from './types.ts';

const DEFAULT_RETRY = { initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.2, maxAttempts: 3 } as const;

type Run<T> = (attempt: StepAttempt) => T | PromiseLike<T>;

/** See {@link Context.step}. */
export function runStep<T>(execution: Runtime, name: string, run: Run<T>, options: StepOptions): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const id = execution.idOf(name);
    const { steps } = execution.recalled.state;
    const known = Object.hasOwn(steps, id) ? steps[id] : undefined;
    // What a step gave was stored as JSON of what it returned: the type is the code's own promise.
    if (known?.status === 'completed') return execution.replay(id, () => resolve((known.output ?? null) as T));
    if (known?.status === 'failed') {
      const { error } = known;
      return execution.replay(id, () => reject(new StepError(id, error ?? lostError)));
    }
    execution.enter();
    new Step(execution, id, run, options, resolve, reject).goOn(known);
  });
}

const lostError: Failure = { code: 'MR_INTERNAL', message: 'failed', retryable: false, lost: false };

class Step<T> implements Effect {
  readonly #execution: Runtime;
  readonly #id: string;
  readonly #run: Run<T>;
  readonly #options: StepOptions;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: unknown) => void;
  #attempt = 1;
  /** Attempts that do not count any more: a retry of the run gives new ones. */
  #before = 0;
  #begunAt = 0;
  /** Set once the attempt has ended, one way or the other. */
  #ended = false;

  constructor(
    execution: Runtime,
    id: string,
    run: Run<T>,
    options: StepOptions,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ) {
    this.#execution = execution;
    this.#id = id;
    this.#run = run;
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Begins, or goes on where the journal leaves off: a failed attempt counts, its backoff is waited to its end. */
  goOn(known: StepState | undefined): void {
    if (known !== undefined) {
      this.#attempt = known.attempt + 1;
      this.#before = known.attempt - known.failures - known.lost;
    }
    if (known?.status !== 'backoff') return this.#execution.effect(this);
    this.#later((known.retryAt ?? 0) - this.#execution.ports.now());
  }

  #later(ms: number): void {
    const begin = (): void => void this.#execution.ports.after(Math.max(0, ms), () => this.begin());
    this.#execution.effect({ begin });
  }

  /** Runs the attempt that is due. */
  begin(): void {
    if (this.#execution.isOver) return;
    this.#begunAt = this.#execution.ports.now();
    this.#ended = false;
    const { timeoutMs } = this.#options;
    const attempt = this.#attempt;
    const limit = timeoutMs === undefined ? undefined : this.#limit(attempt, timeoutMs);
    let given: T | PromiseLike<T>;
    try {
      given = this.#called(this.#attemptOf(limit?.signal));
    } catch (error) {
      limit?.stop();
      return this.#failed(attempt, error);
    }
    if (!isThenable(given)) {
      limit?.stop();
      return this.#succeeded(attempt, given);
    }
    given.then(
      (value) => {
        limit?.stop();
        this.#succeeded(attempt, value);
      },
      (error: unknown) => {
        limit?.stop();
        this.#failed(attempt, error);
      },
    );
  }

  #called(attempt: StepAttempt): T | PromiseLike<T> {
    const { run, ports } = this.#execution;
    if (ports.interpose === undefined) return this.#run(attempt);
    return ports.interpose(run, this.#id, attempt, () => this.#run(attempt)) as T; // a mock keeps the step's promise
  }

  #limit(attempt: number, timeoutMs: number): { readonly signal: AbortSignal; readonly stop: () => void } {
    const abort = new AbortController();
    const stop = this.#execution.ports.after(timeoutMs, () => {
      const error = new MillraceError('MR_STEP_TIMEOUT', `attempt ${attempt} did not end within ${timeoutMs} ms`);
      abort.abort(error);
      this.#failed(attempt, error);
    });
    return { signal: AbortSignal.any([abort.signal, this.#execution.signal]), stop };
  }

  #attemptOf(signal: AbortSignal | undefined): StepAttempt {
    return new Attempt(this.#execution, this.#id, this.#attempt, signal);
  }

  /** True for the first end of the attempt that is under way. */
  #ends(attempt: number): boolean {
    if (this.#ended || attempt !== this.#attempt || this.#execution.isOver) return false;
    this.#ended = true;
    return true;
  }

  #succeeded(attempt: number, value: T): void {
    if (!this.#ends(attempt)) return;
    let output: ReturnType<typeof asJson>;
    try {
      output = asJson(value, `what step "${this.#id}" returned`);
    } catch (error) {
      this.#ended = false;
      return this.#failed(attempt, error);
    }
    const batch = this.#execution.push({ type: 'StepCompleted', step: this.#id, attempt, output });
    if (batch === undefined) return this.#execution.leave();
    this.#execution.spans?.attempt(batch, this.#id, attempt, this.#begunAt, 'completed');
    this.#execution.settle(batch, () => {
      this.#resolve(copyOf(output) as T);
      this.#execution.leave();
    });
  }

  #failed(attempt: number, thrown: unknown): void {
    if (!this.#ends(attempt)) return;
    const error = failureOf(thrown);
    const policy = { ...DEFAULT_RETRY, ...this.#options.retry };
    const again = error.retryable && attempt - this.#before < policy.maxAttempts;
    if (!again) {
      const batch = this.#execution.push({ type: 'StepFailed', step: this.#id, attempt, error });
      if (batch === undefined) return this.#execution.leave();
      this.#execution.spans?.attempt(batch, this.#id, attempt, this.#begunAt, 'failed', error);
      return this.#execution.settle(batch, () => {
        this.#reject(new StepError(this.#id, error));
        this.#execution.leave();
      });
    }
    const delay = backoffMs(policy, attempt - this.#before, `${this.#execution.run.runId}/${this.#id}`);
    const retryAt = this.#execution.ports.now() + delay;
    const batch = this.#execution.push({ type: 'StepRetryScheduled', step: this.#id, attempt, error, retryAt });
    if (batch === undefined) return this.#execution.leave();
    this.#execution.spans?.attempt(batch, this.#id, attempt, this.#begunAt, 'retrying', error);
    this.#attempt++;
    this.#later(delay);
  }
}

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return value !== null && typeof value === 'object' && 'then' in value && typeof value.then === 'function';
}

/** Made for every attempt, looked at by few: what costs something is made when it is asked for. */
class Attempt implements StepAttempt {
  readonly attempt: number;
  readonly #execution: Runtime;
  readonly #id: string;
  readonly #signal: AbortSignal | undefined;

  constructor(execution: Runtime, id: string, attempt: number, signal: AbortSignal | undefined) {
    this.attempt = attempt;
    this.#execution = execution;
    this.#id = id;
    this.#signal = signal;
  }

  get idempotencyKey(): string {
    return `${this.#execution.run.runId}/${this.#id}`;
  }

  get signal(): AbortSignal {
    return this.#signal ?? this.#execution.signal;
  }
}
