/**
 * What a durable function waits for without doing anything: sleeps, signals, their timers.
 *
 * Job: record each wait, give its end to the function, keep timers where they survive while nothing executes. A timer lives in
 * this process while the run executes here (exact, and nothing to store), and on the server when it rests (F6).
 */
import type { Failure, StepState } from '../engine/index.ts';
import { isToken, type Json, MillraceError } from '../kernel/index.ts';
import { StepError } from './errors.ts';
import { copyOf } from './json.ts';
import { RUN_ENDED } from './recall.ts';
import type { Runtime } from './runtime.ts';

interface Wait {
  readonly id: string;
  readonly kind: 'sleep' | 'signal';
  /** Of the signal. */
  readonly name: string;
  /** Grows when a retry of the run waits anew: its timer must not be taken for the one before. */
  readonly attempt: number;
  readonly timer: string | undefined;
  readonly at: number;
  readonly timeoutMs: number;
  readonly give: (value: Json) => void;
  readonly fail: (error: StepError) => void;
  stopLocal: (() => void) | undefined;
}

/** A sleep no longer than this is slept out here: cheaper than resting, and exact. */
const SLEPT_HERE_MS = 2_000;
/** A hundred years: further than that no date can be written. */
const LONGEST_MS = 3_155_760_000_000;
/** A timer further away goes to the server at once: a process's own timers are for what is near. */
const NEAR_MS = 60_000;

export class Waits {
  readonly #execution: Runtime;
  readonly #waits = new Map<string, Wait>();
  readonly #byTimer = new Map<string, Wait>();
  readonly #signals: { readonly name: string; readonly payload: Json }[];
  /** Timers that fired before the code asked for their waits. */
  readonly #early = new Set<string>();
  /** Recalled waits that the code has come to. */
  readonly #met = new Set<string>();
  /** Recalled timers whose waits the code has come to. */
  readonly #asked = new Set<string>();
  /** Timers on their way to the server or there. */
  readonly #onServer = new Map<string, Promise<void>>();

  constructor(execution: Runtime) {
    this.#execution = execution;
    this.#signals = [...execution.recalled.state.signals];
  }

  get count(): number {
    return this.#waits.size;
  }

  /** Someone waits for the timer, or will once the code has come to where the journal says it waits. */
  isSet(timer: string): boolean {
    if (this.#byTimer.has(timer)) return true;
    const recalled = this.#execution.recalled.state.timers[timer] !== undefined;
    return recalled && !this.#asked.has(timer) && !this.#early.has(timer);
  }

  awaits(name: string): boolean {
    for (const wait of this.#waits.values()) if (wait.kind === 'signal' && wait.name === name) return true;
    return false;
  }

  sleep(ms: number, name: string): Promise<void> {
    if (!(ms >= 0 && ms <= LONGEST_MS))
      throw usage(`a sleep of ${ms} ms`, 'give milliseconds, at most 100 years of them');
    const { id, known } = this.#operation(name, name);
    return new Promise((resolve) => {
      if (known?.status === 'completed') return this.#execution.replay(id, () => resolve());
      const attempt = attemptOf(known);
      const timer = `sleep/${id}/${attempt}`;
      const at = this.#dueAt(known, timer, ms);
      if (known?.status !== 'waiting') {
        this.#execution.push({ type: 'SleepStarted', step: id, attempt });
        this.#execution.push({ type: 'TimerSet', timer, at });
      }
      this.#add(
        {
          id,
          kind: 'sleep',
          name,
          attempt,
          timer,
          at,
          timeoutMs: ms,
          give: () => resolve(),
          fail: () => {},
          stopLocal: undefined,
        },
        this.#hasFired(known, timer),
      );
    });
  }

  wait(name: string, timeoutMs: number | undefined): Promise<Json> {
    const { id, known } = this.#operation(name, `signal:${name}`);
    return new Promise((resolve, reject) => {
      if (known?.status === 'completed') return this.#execution.replay(id, () => resolve(known.output ?? null));
      if (known?.status === 'failed') return this.#execution.replay(id, () => reject(failed(id, known.error)));
      const attempt = attemptOf(known);
      if (known?.status !== 'waiting') {
        const index = this.#signals.findIndex((one) => one.name === name);
        if (index >= 0) return this.#consume(index, id, attempt, resolve);
        this.#execution.push({ type: 'SignalAwaited', step: id, attempt, name });
      }
      const timer = timeoutMs === undefined ? undefined : `signal/${id}/${attempt}`;
      const at = timer === undefined ? Number.POSITIVE_INFINITY : this.#dueAt(known, timer, timeoutMs ?? 0);
      if (timer !== undefined && known?.status !== 'waiting') this.#execution.push({ type: 'TimerSet', timer, at });
      this.#add(
        {
          id,
          kind: 'signal',
          name,
          attempt,
          timer,
          at,
          timeoutMs: timeoutMs ?? 0,
          give: resolve,
          fail: reject,
          stopLocal: undefined,
        },
        timer !== undefined && this.#hasFired(known, timer),
      );
      // The journal may hold a signal that nobody gave to this wait before the crash.
      const index = this.#signals.findIndex((one) => one.name === name);
      if (index >= 0) this.#giveSignal(index);
    });
  }

  #operation(name: string, base: string): { readonly id: string; readonly known: StepState | undefined } {
    if (!isToken(name)) throw usage(`"${name}" as the name of a wait`, 'use letters, digits, "-" and "_"');
    const id = this.#execution.idOf(base);
    const { steps } = this.#execution.recalled.state;
    this.#met.add(id);
    return { id, known: Object.hasOwn(steps, id) ? steps[id] : undefined };
  }

  #dueAt(known: StepState | undefined, timer: string, ms: number): number {
    const recalled = known?.status === 'waiting' ? this.#execution.recalled.state.timers[timer] : undefined;
    return recalled ?? this.#execution.ports.now() + ms;
  }

  /** The log says that it waits and has its timer no more: it fired, and nobody told the function. */
  #hasFired(known: StepState | undefined, timer: string): boolean {
    if (this.#early.has(timer)) return true;
    return known?.status === 'waiting' && this.#execution.recalled.state.timers[timer] === undefined;
  }

  #add(wait: Wait, fired: boolean): void {
    this.#waits.set(wait.id, wait);
    const { timer } = wait;
    if (timer === undefined) return;
    this.#byTimer.set(timer, wait);
    this.#asked.add(timer);
    if (fired) return void this.fired(timer);
    this.#arm(wait, timer);
  }

  /** The run does not rest after all: timers that ended meanwhile, or were not looked after, are. */
  rearm(): void {
    for (const wait of this.#waits.values()) {
      if (wait.timer === undefined || wait.stopLocal !== undefined || this.#onServer.has(wait.timer)) continue;
      this.#arm(wait, wait.timer);
    }
  }

  #arm(wait: Wait, timer: string): void {
    const { ports } = this.#execution;
    const left = wait.at - ports.now();
    if (left > NEAR_MS) return this.#execution.effect({ begin: () => this.#ahead(wait, timer) });
    const here = left <= SLEPT_HERE_MS;
    if (here) this.#execution.enter();
    const stop = ports.after(Math.max(0, left), () => {
      wait.stopLocal = undefined;
      // It has said that it rests: the server's timer wakes it, by an input that others can go by.
      if (this.#execution.resting) return;
      this.#execution.push({ type: 'TimerFired', timer });
      this.fired(timer);
      if (here) this.#execution.leave();
    });
    wait.stopLocal = () => {
      stop();
      if (here) this.#execution.leave();
    };
  }

  /** The log has the timer before the server does: what fires is known to whoever reads the log. */
  #ahead(wait: Wait, timer: string): void {
    if (this.#byTimer.get(timer) === wait) void this.#toServer(timer, wait.at).catch(() => undefined);
  }

  #toServer(timer: string, at: number): Promise<void> {
    const known = this.#onServer.get(timer);
    if (known !== undefined) return known;
    const storing = this.#execution.ports.setTimer(this.#execution.run, timer, at);
    storing.catch(() => this.#onServer.delete(timer));
    this.#onServer.set(timer, storing);
    return storing;
  }

  /**
   * F6: every timer is on the server when this resolves.
   * @throws MillraceError MR_NATS
   */
  async store(): Promise<void> {
    const storing: Promise<void>[] = [];
    for (const wait of this.#waits.values()) {
      if (wait.timer === undefined) continue;
      wait.stopLocal?.();
      wait.stopLocal = undefined;
      storing.push(this.#toServer(wait.timer, wait.at));
    }
    if (storing.length > 0) await Promise.all(storing);
  }

  /** A signal is in the log: it goes to its wait, else it is kept. */
  signal(name: string, payload: Json): void {
    this.#signals.push({ name, payload });
    this.#giveSignal(this.#signals.length - 1);
  }

  #giveSignal(index: number): void {
    const name = this.#signals[index]?.name;
    for (const wait of this.#waits.values()) {
      if (wait.kind !== 'signal' || wait.name !== name) continue;
      this.#remove(wait, true);
      return this.#consume(index, wait.id, wait.attempt, wait.give);
    }
  }

  #consume(index: number, id: string, attempt: number, give: (value: Json) => void): void {
    const [taken] = this.#signals.splice(index, 1);
    if (taken === undefined) return;
    this.#execution.push({ type: 'SignalConsumed', name: taken.name, step: id });
    const batch = this.#execution.push({ type: 'StepCompleted', step: id, attempt, output: taken.payload });
    this.#execution.settle(batch, () => give(copyOf(taken.payload)));
  }

  /** The timer's firing is in the log, or goes into it with this. */
  fired(timer: string): void {
    const wait = this.#byTimer.get(timer);
    if (wait === undefined) {
      this.#early.add(timer);
      return;
    }
    this.#remove(wait, false);
    if (wait.kind === 'sleep') {
      const batch = this.#execution.push({ type: 'StepCompleted', step: wait.id, attempt: wait.attempt, output: null });
      return this.#execution.settle(batch, () => wait.give(null));
    }
    const error: Failure = {
      code: 'MR_SIGNAL_TIMEOUT',
      message: `no signal "${wait.name}" came within ${wait.timeoutMs} ms`,
      retryable: false,
      lost: false,
    };
    const batch = this.#execution.push({ type: 'StepFailed', step: wait.id, attempt: wait.attempt, error });
    this.#execution.settle(batch, () => wait.fail(failed(wait.id, error)));
  }

  #remove(wait: Wait, cancel: boolean): void {
    const { timer } = wait;
    this.#waits.delete(wait.id);
    wait.stopLocal?.();
    if (timer === undefined) return;
    this.#byTimer.delete(timer);
    if (cancel) this.#execution.push({ type: 'TimerCancelled', timer });
    // What a server's timer tells later finds nobody; calling it off only saves the message.
    // Not before that is in the log: if another has the run, it is his timer.
    const { run, ports } = this.#execution;
    if (cancel && this.#onServer.has(timer)) this.#execution.effect({ begin: () => ports.cancelTimer(run, timer) });
  }

  /** The run ends: no timer stays set, no wait open. */
  cancelAll(): void {
    for (const wait of [...this.#waits.values()]) {
      this.#remove(wait, true);
      this.#execution.push({ type: 'StepCancelled', step: wait.id, attempt: wait.attempt, reason: RUN_ENDED });
    }
    // It may end while it is recalled: what the code has not come to is open all the same.
    const { timers, steps } = this.#execution.recalled.state;
    for (const timer of Object.keys(timers)) {
      if (!this.#asked.has(timer) && !this.#early.has(timer)) this.#execution.push({ type: 'TimerCancelled', timer });
    }
    for (const { name, status, attempt } of Object.values(steps)) {
      if (status !== 'waiting' || this.#met.has(name)) continue;
      this.#execution.push({ type: 'StepCancelled', step: name, attempt, reason: RUN_ENDED });
    }
  }

  close(): void {
    for (const { stopLocal } of this.#waits.values()) stopLocal?.();
    this.#waits.clear();
    this.#byTimer.clear();
  }
}

function attemptOf(known: StepState | undefined): number {
  if (known === undefined) return 1;
  return known.status === 'waiting' ? known.attempt : known.attempt + 1;
}

function failed(id: string, error: Failure | undefined): StepError {
  return new StepError(id, error ?? { code: 'MR_INTERNAL', message: 'failed', retryable: false, lost: false });
}

function usage(what: string, hint: string): MillraceError {
  return new MillraceError('MR_USAGE', `${what} is not possible`, { hint });
}
