/**
 * A state under change.
 *
 * Job: apply transitions at the cost of what they touch. Boundary: the states that come in are never changed, whoever holds
 * them; what is changed is a copy made here: the run's own fields at once, its steps, timers and signals when the first
 * transition touches them. A step's state is replaced, so it may be kept by those that read it between transitions; where
 * nobody reads until the last one (`unread`, folding), a step that was copied here is changed in place: refolding is mostly
 * the making of step states.
 * `state` is the draft itself until the last transition: whoever keeps it must not apply more.
 */
import { unreachable } from '../../kernel/index.ts';
import { type RunState, type StepState, stepOf } from './state.ts';
import type { StoredEntry, Transition } from './transitions.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Signal = RunState['signals'][number];
type Step = Mutable<StepState>;
type StepTransition = Extract<Transition, { readonly step: string; readonly attempt: number }>;

/** Sets an own member; a step may be named `__proto__`, and assigning would then change the prototype. */
function put<T>(record: Record<string, T>, name: string, value: T): void {
  if (name !== '__proto__') record[name] = value;
  else Object.defineProperty(record, name, { value, configurable: true, enumerable: true, writable: true });
}

export class StateDraft {
  #state: Mutable<RunState>;
  // What was copied here, and may be changed.
  #steps: Record<string, StepState> | undefined;
  #timers: Record<string, number> | undefined;
  #signals: Signal[] | undefined;
  // Steps made here that nobody has read.
  readonly #unread: Map<string, Step> | undefined;

  /** @param unread nobody looks at `state` before the last transition is applied */
  constructor(state: RunState, unread = false) {
    this.#state = { ...state };
    this.#unread = unread ? new Map() : undefined;
  }

  get state(): RunState {
    return this.#state;
  }

  /** Applies a whole log entry. */
  entry({ transitions, at, cause, seq }: StoredEntry): void {
    for (const transition of transitions) this.apply(transition, at);
    if (cause > this.#state.lastInput) this.#state.lastInput = cause;
    this.#state.lastEntry = seq;
  }

  /**
   * Applies one transition.
   * @param at the journal's time of the entry, ms since the epoch
   */
  apply(t: Transition, at: number): void {
    switch (t.type) {
      case 'RunStarted':
        return this.#start(t, at);
      case 'RunClaimed':
        this.#state.worker = t.worker;
        this.#state.suspended = false;
        return;
      case 'RunSuspended':
        this.#state.suspended = true;
        return;
      case 'TimerSet':
        return put(this.#ownTimers(), t.timer, t.at);
      case 'TimerFired':
      case 'TimerCancelled':
        delete this.#ownTimers()[t.timer];
        return;
      case 'SignalReceived':
        this.#ownSignals().push({ name: t.name, payload: t.payload });
        return;
      case 'SignalConsumed':
        return this.#consume(t.name);
      case 'RunCompleted':
        this.#end('completed', at);
        if (t.output !== undefined) this.#state.output = t.output;
        return;
      case 'RunFailed':
        this.#end('failed', at);
        this.#state.error = t.error;
        if (t.step !== undefined) this.#state.failedStep = t.step;
        return;
      case 'RunCancelled':
        this.#end('cancelled', at);
        this.#state.reason = t.reason;
        return;
      case 'RunRetried':
        return this.#retry(t.steps);
      case 'StepSkipped': {
        const step = this.#ownStep(t.step);
        step.status = 'skipped';
        step.reason = t.reason;
        step.endedAt = at;
        return;
      }
      case 'StepScheduled':
        return this.#step(scheduled(this.#stepOf(t.step), t, at));
      default:
        return advance(this.#ownStep(t.step), t, at);
    }
  }

  #stepOf(name: string): StepState {
    return this.#unread?.get(name) ?? stepOf(this.#state, name);
  }

  /** The step's state, to be changed. */
  #ownStep(name: string): Step {
    const own = this.#unread?.get(name);
    if (own !== undefined) return own;
    const copy = { ...stepOf(this.#state, name) };
    this.#step(copy);
    return copy;
  }

  #step(next: Step): void {
    if (this.#steps === undefined) this.#state.steps = this.#steps = { ...this.#state.steps };
    put(this.#steps, next.name, next);
    this.#unread?.set(next.name, next);
  }

  #ownTimers(): Record<string, number> {
    if (this.#timers === undefined) this.#state.timers = this.#timers = { ...this.#state.timers };
    return this.#timers;
  }

  #ownSignals(): Signal[] {
    if (this.#signals === undefined) this.#state.signals = this.#signals = [...this.#state.signals];
    return this.#signals;
  }

  #start(t: Extract<Transition, { type: 'RunStarted' }>, at: number): void {
    const state = this.#state;
    state.status = 'running';
    state.digest = t.digest;
    state.payload = t.payload;
    if (t.trace !== undefined) state.trace = t.trace;
    state.startedAt = at;
    if (t.source !== undefined) state.source = t.source;
    if (t.by !== undefined) state.by = t.by;
    if (t.worker !== undefined) state.worker = t.worker;
    if (t.notify !== undefined) state.notify = t.notify;
  }

  #end(status: RunState['status'], at: number): void {
    this.#state.status = status;
    this.#state.endedAt = at;
  }

  #consume(name: string): void {
    const signals = this.#ownSignals();
    const index = signals.findIndex((signal) => signal.name === name);
    if (index !== -1) signals.splice(index, 1);
  }

  #retry(steps: readonly string[]): void {
    const { endedAt: _end, error: _error, failedStep: _step, reason: _reason, ...rest } = this.#state;
    this.#state = { ...rest, status: 'running', retries: rest.retries + 1 };
    for (const name of steps) {
      const { error: _x, reason: _r, endedAt: _e, retryAt: _t, output: _o, ...kept } = this.#stepOf(name);
      this.#step({ ...kept, status: 'pending', failures: 0, lost: 0 });
    }
  }
}

/** A new attempt begins with what outlives the ones before it. */
function scheduled(step: StepState, t: Extract<Transition, { type: 'StepScheduled' }>, at: number): Step {
  const { name, failures, lost, flows, output, reason } = step;
  const next: Step = {
    name,
    status: 'scheduled',
    attempt: t.attempt,
    failures,
    lost,
    flows,
    input: t.input,
    scheduledAt: at,
  };
  if (output !== undefined) next.output = output;
  if (reason !== undefined) next.reason = reason;
  return next;
}

function advance(step: Step, t: Exclude<StepTransition, { type: 'StepScheduled' }>, at: number): void {
  switch (t.type) {
    case 'StepStarted':
      step.status = 'running';
      step.worker = t.worker;
      step.startedAt = t.startedAt ?? at;
      return;
    case 'FlowStateChanged':
      step.flows = { ...step.flows, [t.attempt]: { flowRunId: t.flowRunId, state: t.state } };
      return;
    case 'StepRetryScheduled':
      step.status = 'backoff';
      step.attempt = t.attempt; // a durable function's attempts are not scheduled
      step.error = t.error;
      step.retryAt = t.retryAt;
      if (t.error.lost) step.lost += 1;
      else step.failures += 1;
      return;
    case 'StepCompleted':
      step.status = 'completed';
      step.attempt = t.attempt;
      step.output = t.output;
      step.endedAt = at;
      return;
    case 'StepFailed':
      step.status = 'failed';
      step.attempt = t.attempt; // an attempt whose input could not be computed fails without having been scheduled
      step.error = t.error;
      step.endedAt = at;
      return;
    case 'StepCancelled':
      step.status = 'cancelled';
      step.reason = t.reason;
      step.endedAt = at;
      return;
    case 'SignalAwaited':
    case 'SleepStarted':
      step.status = 'waiting';
      step.attempt = t.attempt;
      step.scheduledAt = at;
      step.startedAt = at;
      return;
    default:
      return unreachable(t);
  }
}
