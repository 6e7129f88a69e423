/** A step of a durable function: its attempts, their records, their retries. */
import type { Failure, StepState } from '../engine/index.ts';
import { type Json, MillraceError } from '../kernel/index.ts';
import { Beats } from './beats.ts';
import { failureOf, StepError } from './errors.ts';
import { asJson, copyOf } from './json.ts';
import { checkOptions, delayOf, isNonRetryable } from './retry.ts';
import type { PausedStep, Runtime } from './runtime.ts';
import type { Effect } from './tail.ts';
import type { Abortable, StepAttempt, StepOptions } from './types.ts';
import { Watch } from './watch.ts';

type Run<T> = (attempt: StepAttempt) => T | PromiseLike<T>;

/** What a step has whose code says nothing more of it. */
export const NO_OPTIONS: StepOptions = {};

/** See {@link Context.step}. */
export function runStep<T>(
  execution: Runtime,
  name: string,
  run: Run<T>,
  options: StepOptions,
  abortable?: (control: Abortable) => void,
): Promise<T> {
  let step: Step<T> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    if (options !== NO_OPTIONS) checkOptions(name, options);
    const id = execution.idOf(name);
    const { steps } = execution.recalled.state;
    const known = Object.hasOwn(steps, id) ? steps[id] : undefined;
    // What a step gave was stored as JSON of what it returned: the type is the code's own promise.
    if (known?.status === 'completed') return execution.replay(id, () => resolve((known.output ?? null) as T));
    if (known?.status === 'failed') {
      const { error } = known;
      return execution.replay(id, () => {
        unawaited(promise);
        reject(new StepError(id, error ?? lostError));
      });
    }
    if (known?.status === 'cancelled') return; // the code has lost interest in it, in every replay
    execution.enter();
    step = new Step(execution, id, run, options, resolve, reject, abortable !== undefined);
    abortable?.(step);
    step.goOn(known);
  });
  if (step !== undefined) step.promise = promise;
  return promise;
}

/** A failure that no code waits for (any more) fails in the history, and must not end the process with all its other runs. */
const unawaited = (promise: Promise<unknown> | undefined): void => void promise?.catch(() => undefined);

const lostError: Failure = { code: 'MR_INTERNAL', message: 'failed', retryable: false, lost: false };

class Step<T> implements Effect, PausedStep, Abortable {
  readonly #execution: Runtime;
  readonly #id: string;
  readonly #run: Run<T>;
  readonly #options: StepOptions;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: unknown) => void;
  #attempt = 1;
  /** Attempts that do not count any more: a retry of the run or a resume of the step gives new ones. */
  #before = 0;
  #begunAt = 0;
  /** From when on the time of all attempts counts, where it is limited. */
  #since = 0;
  /** Set once the attempt has ended, one way or the other. */
  #ended = false;
  /** Set once the step has. */
  #done = false;
  readonly #abortable: boolean;
  #abort: AbortController | undefined;
  #signal: AbortSignal | undefined;
  #watch: Watch | undefined;
  #beats: Beats | undefined;
  promise: Promise<T> | undefined;

  constructor(
    execution: Runtime,
    id: string,
    run: Run<T>,
    options: StepOptions,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
    abortable: boolean,
  ) {
    this.#abortable = abortable;
    this.#execution = execution;
    this.#id = id;
    this.#run = run;
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Begins, or goes on where the journal leaves off: a failed attempt counts, its backoff is waited to its end. */
  goOn(known: StepState | undefined): void {
    const execution = this.#execution;
    if (this.#options.retry?.maxElapsedMs !== undefined) {
      // The journal's time, which a takeover does not change; more attempts have more time.
      this.#since = known?.since ?? Math.max(execution.now, execution.recalled.renewed?.get(this.#id) ?? 0);
    }
    if (known !== undefined) {
      this.#attempt = known.attempt + 1;
      this.#before = known.attempt - known.failures - known.lost;
    }
    if (known?.status === 'paused') return execution.pauses.add(this.#id, this);
    if (known?.status !== 'backoff') return execution.effect(this);
    this.#later((known.retryAt ?? 0) - execution.ports.now());
  }

  get attempt(): number {
    return this.#attempt - 1;
  }

  /** F11: a person has resumed it. */
  resume(): void {
    this.#before = this.#attempt - 1;
    this.#since = this.#execution.ports.now();
    this.#execution.effect(this);
  }

  #later(ms: number): void {
    const begin = (): void => void this.#execution.ports.after(Math.max(0, ms), () => this.begin());
    this.#execution.effect({ begin });
  }

  /** The code has no use for it any more: its promise never settles. */
  abort(reason: string): void {
    if (this.#done || this.#execution.isOver) return;
    this.#done = true;
    this.#ended = true;
    this.#execution.push({ type: 'StepCancelled', step: this.#id, attempt: this.#attempt, reason });
    this.#abort?.abort(new MillraceError('MR_CANCELLED', `step "${this.#id}": ${reason}`));
    if (this.#execution.pauses.drop(this.#id)) return;
    this.#execution.leave();
  }

  /** Runs the attempt that is due. */
  begin(): void {
    if (this.#done || this.#execution.isOver) return;
    this.#begunAt = this.#execution.ports.now();
    this.#ended = false;
    const attempt = this.#attempt;
    this.#beats?.next();
    const watch = this.#limited() ? this.#watched(attempt) : undefined;
    let given: T | PromiseLike<T>;
    try {
      given = this.#called(new Attempt(this as Step<unknown>, attempt, watch?.signal));
    } catch (error) {
      watch?.stop();
      return this.#failed(attempt, error);
    }
    if (!isThenable(given)) {
      watch?.stop();
      return this.#succeeded(attempt, given);
    }
    given.then(
      (value) => {
        watch?.stop();
        this.#succeeded(attempt, value);
      },
      (error: unknown) => {
        watch?.stop();
        this.#failed(attempt, error);
      },
    );
  }

  #called(attempt: StepAttempt): T | PromiseLike<T> {
    const { run, ports } = this.#execution;
    if (ports.interpose === undefined) return this.#run(attempt);
    const { input } = this.#run as { readonly input?: unknown };
    // Whoever stands in for the code keeps the step's promise.
    return ports.interpose({ run, step: this.#id, attempt, input, code: () => this.#run(attempt) }) as T;
  }

  #limited(): boolean {
    const { timeoutMs, heartbeatTimeoutMs, retry } = this.#options;
    return timeoutMs !== undefined || heartbeatTimeoutMs !== undefined || retry?.maxElapsedMs !== undefined;
  }

  #watched(attempt: number): Watch {
    const { timeoutMs, heartbeatTimeoutMs: heartbeatMs, retry } = this.#options;
    const maxElapsedMs = retry?.maxElapsedMs;
    const leftMs = maxElapsedMs === undefined ? undefined : this.#since + maxElapsedMs - this.#begunAt;
    const limits = { timeoutMs, heartbeatMs, leftMs, maxElapsedMs };
    const { signal } = this;
    this.#watch = new Watch(this.#execution, attempt, limits, signal, (error) => this.#failed(attempt, error));
    return this.#watch;
  }

  get key(): string {
    return `${this.#execution.run.runId}/${this.#id}`;
  }

  /** Aborts with the execution, and with the step when code may lose interest in it. */
  get signal(): AbortSignal {
    if (!this.#abortable) return this.#execution.signal;
    this.#abort ??= new AbortController();
    this.#signal ??= AbortSignal.any([this.#abort.signal, this.#execution.signal]);
    return this.#signal;
  }

  /** What the attempts before this one left. */
  get progress(): Json | undefined {
    if (this.#beats !== undefined) return this.#beats.progress;
    const { steps } = this.#execution.recalled.state;
    return Object.hasOwn(steps, this.#id) ? steps[this.#id]?.progress : undefined;
  }

  /** The attempt says that it lives, and how far it is. */
  beat(attempt: number, details: unknown): void {
    if (this.#ended || attempt !== this.#attempt || this.#execution.isOver) return;
    const now = this.#execution.ports.now();
    this.#watch?.beat(now);
    if (details === undefined) return;
    const json = asJson(details, `the progress of step "${this.#id}"`);
    this.#beats ??= new Beats(this.progress, this.#options.heartbeatTimeoutMs);
    if (this.#beats.beat(json, now)) this.#recordProgress(attempt);
  }

  #recordProgress(attempt: number): void {
    const details = this.#beats?.take(this.#execution.ports.now());
    if (details !== undefined) this.#execution.push({ type: 'StepHeartbeat', step: this.#id, attempt, details });
  }

  /** True for the first end of the attempt that is under way. */
  #ends(attempt: number): boolean {
    if (this.#ended || attempt !== this.#attempt || this.#execution.isOver) return false;
    this.#ended = true;
    return true;
  }

  #succeeded(attempt: number, value: T): void {
    if (!this.#ends(attempt)) return;
    let output: Json;
    try {
      output = asJson(value, `what step "${this.#id}" returned`);
    } catch (error) {
      this.#ended = false;
      return this.#failed(attempt, error);
    }
    this.#done = true;
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
    const { retry } = this.#options;
    const execution = this.#execution;
    let error = failureOf(thrown);
    if (isNonRetryable(retry, error, thrown)) error = { ...error, retryable: false };
    this.#recordProgress(attempt);
    const now = execution.ports.now();
    const delay = delayOf(retry, error, {
      failures: attempt - this.#before,
      since: this.#since,
      now,
      key: this.key,
    });
    if (delay !== undefined) return this.#tryAgain(attempt, error, now + delay);
    if (retry?.onExhausted === 'pause') return this.#pause(attempt, error);
    this.#done = true;
    const batch = execution.push({ type: 'StepFailed', step: this.#id, attempt, error });
    if (batch === undefined) return execution.leave();
    execution.spans?.attempt(batch, this.#id, attempt, this.#begunAt, 'failed', error);
    execution.settle(batch, () => {
      unawaited(this.promise);
      this.#reject(new StepError(this.#id, error));
      execution.leave();
    });
  }

  #tryAgain(attempt: number, error: Failure, retryAt: number): void {
    const execution = this.#execution;
    const since = this.#options.retry?.maxElapsedMs === undefined ? {} : { since: this.#since };
    const batch = execution.push({
      type: 'StepRetryScheduled',
      step: this.#id,
      attempt,
      error,
      retryAt,
      ...since,
    });
    if (batch === undefined) return execution.leave();
    execution.spans?.attempt(batch, this.#id, attempt, this.#begunAt, 'retrying', error);
    this.#attempt++;
    this.#later(retryAt - execution.ports.now());
  }

  #pause(attempt: number, error: Failure): void {
    const execution = this.#execution;
    const batch = execution.push({ type: 'StepPaused', step: this.#id, attempt, error });
    if (batch === undefined) return execution.leave();
    execution.spans?.attempt(batch, this.#id, attempt, this.#begunAt, 'paused', error);
    this.#attempt++;
    execution.pauses.add(this.#id, this);
  }
}

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return value !== null && typeof value === 'object' && 'then' in value && typeof value.then === 'function';
}

/** Made for every attempt, looked at by few: what costs something is made when it is asked for. */
class Attempt implements StepAttempt {
  readonly attempt: number;
  readonly #step: Step<unknown>;
  readonly #signal: AbortSignal | undefined;

  constructor(step: Step<unknown>, attempt: number, signal: AbortSignal | undefined) {
    this.attempt = attempt;
    this.#step = step;
    this.#signal = signal;
  }

  get idempotencyKey(): string {
    return this.#step.key;
  }

  get signal(): AbortSignal {
    return this.#signal ?? this.#step.signal;
  }

  get progress(): Json | undefined {
    const { progress } = this.#step;
    return progress === undefined ? undefined : copyOf(progress);
  }

  get heartbeat(): (details?: unknown) => void {
    return (details) => this.#step.beat(this.attempt, details);
  }
}
