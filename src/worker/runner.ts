/**
 * Runs the attempts of one handler in this process.
 *
 * Job: take deliveries, run each attempt once, report it, acknowledge. Boundary: sees NATS only through {@link ResultSink}
 * and {@link TaskDelivery}; sees time only through {@link Timers}.
 *
 *   W3 a delivery is acknowledged only after its attempt's result is stored;
 *   W4 an attempt runs at most once at a time here: a redelivery only renews the hold on the message;
 *   W5 an attempt whose result is stored is never run again here, one whose result waits to be stored is only reported again;
 *   W6 every attempt held here is kept alive at a third of the ack wait, also while it waits for its turn;
 *   W7 after a cancel, a timeout or the drain's end the handler has a short grace (at a cancel with a grace time of the run
 *      that one), then its slot is free again;
 *   W8 nothing but the handler makes a heartbeat, and none is sent once the attempt has ended.
 */
import { type CancelMessage, type InputBody, type TaskMessage, taskMessageSchema } from '../engine/index.ts';
import { isMillraceError, messageOf } from '../kernel/index.ts';
import { contextFromHeaders, type LiveSpan, type Telemetry } from '../telemetry/index.ts';
import { attemptKey, type Begun, fail, jsonOf, type Outcome, reportId, reportOf, runAttempt } from './attempt.ts';
import { Beats } from './beats.ts';
import { BoundedMap } from './bounded-map.ts';
import { describeIssues, terminalFailure } from './errors.ts';
import type { RegisteredHandler, ResultSink, StepContext, TaskDelivery, Timers } from './types.ts';

/** How long a handler may take to notice that its signal aborted, in ms. */
const GRACE_MS = 5_000;
/** Wait before the server may hand out again what could not be reported, in ms. */
const REPORT_AGAIN_MS = 5_000;
/** Attempts that end sooner are reported once, by their result, in ms. */
const SHORT_MS = 75;
const REMEMBERED = 10_000;
const UNREPORTED = 100;

export interface RunnerDeps {
  readonly handler: RegisteredHandler;
  readonly workerName: string;
  readonly queue: string;
  readonly sink: ResultSink;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  /** The connection handlers get as `ctx.nats`. */
  readonly door: unknown;
  /** Told when a slot has become free. */
  readonly onFree: () => void;
  /** Overrides {@link GRACE_MS}, for tests. */
  readonly graceMs?: number;
}

interface Report {
  readonly outcome: Outcome;
  /** undefined: it was stopped before it began. */
  readonly begun: Begun | undefined;
  readonly span: LiveSpan['context'];
}

interface Held {
  readonly task: TaskMessage;
  /** The latest delivery: an older one's acknowledgement may be refused. */
  delivery: TaskDelivery;
  readonly abort: AbortController;
  /** How long the run waits for its report after a cancel. */
  graceMs?: number | undefined;
  /** Set when the drain gave the message back: the outcome is nobody's business any more. */
  released: boolean;
}

type Cancel = Pick<CancelMessage, 'reason' | 'graceMs'>;

export class HandlerRunner {
  readonly #deps: RunnerDeps;
  readonly #running = new Map<string, Held>();
  readonly #waiting = new Map<string, Held>();
  readonly #done = new BoundedMap<string, true>(REMEMBERED);
  readonly #cancelled = new BoundedMap<string, Cancel>(REMEMBERED);
  readonly #unreported = new BoundedMap<string, Report>(UNREPORTED);
  readonly #stopHeartbeat: () => void;
  readonly #labels: { readonly queue: string; readonly handler: string };
  #draining = false;
  #idle: (() => void)[] = [];

  constructor(deps: RunnerDeps) {
    this.#deps = deps;
    this.#labels = { queue: deps.queue, handler: deps.handler.name };
    this.#stopHeartbeat = deps.timers.every(Math.max(1, Math.floor(deps.handler.ackWaitMs / 3)), () => this.#beat());
  }

  /** Attempts this runner could begin now. */
  get free(): number {
    return this.#draining ? 0 : Math.max(0, this.#deps.handler.concurrency - this.#running.size - this.#waiting.size);
  }

  get running(): number {
    return this.#running.size;
  }

  /** Takes a delivery. Returns at once; what comes of it is reported to the sink. */
  deliver(delivery: TaskDelivery): void {
    const task = this.#parse(delivery);
    if (task === undefined) return;
    const key = attemptKey(task);
    const held = this.#running.get(key) ?? this.#waiting.get(key);
    if (held !== undefined) {
      held.delivery = delivery; // W4
      delivery.working();
      return;
    }
    if (this.#done.has(key)) return this.#settle(delivery); // W5
    const fresh: Held = { task, delivery, abort: new AbortController(), released: false };
    const cancel = this.#cancelled.get(key);
    if (cancel !== undefined) return this.#neverBegun(key, fresh, cancel);
    const unreported = this.#unreported.get(key);
    if (unreported !== undefined) {
      void this.#report(key, fresh, unreported);
      return;
    }
    if (this.#draining) return delivery.nak();
    if (this.#running.size >= this.#deps.handler.concurrency) this.#waiting.set(key, fresh);
    else this.#begin(key, fresh);
  }

  /** Aborts an attempt that runs here, and remembers not to begin it later. */
  cancel(key: string, cancel: Cancel): void {
    this.#cancelled.set(key, cancel);
    const running = this.#running.get(key);
    if (running !== undefined) {
      running.graceMs = cancel.graceMs;
      running.abort.abort(new Error(cancel.reason));
    }
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      this.#waiting.delete(key);
      this.#neverBegun(key, waiting, cancel);
    }
  }

  /** An attempt that was cancelled before its turn; a run that waits for its report is told. */
  #neverBegun(key: string, held: Held, { reason, graceMs }: Cancel): void {
    if (graceMs === undefined) return this.#settle(held.delivery);
    const outcome = { ok: false, error: terminalFailure('MR_CANCELLED', reason) } as const;
    const span = contextFromHeaders(held.delivery.headers) ?? { traceparent: '' };
    void this.#report(key, held, { outcome, begun: undefined, span }).then(() => this.#deps.onFree());
  }

  /** Begins nothing more, waits for what runs until the deadline, then gives the rest back to the server. */
  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    for (const [key, held] of this.#waiting) {
      this.#waiting.delete(key);
      held.delivery.nak();
    }
    const stopWait = this.#deps.timers.after(deadlineMs, () => {
      for (const [key, held] of this.#running) {
        held.released = true;
        held.abort.abort(new Error('the worker shuts down'));
        held.delivery.nak();
        this.#running.delete(key);
        this.#deps.telemetry.log.warn({ run: held.task.runId, step: held.task.step }, 'attempt given back at shutdown');
      }
      this.#wakeIdle();
    });
    while (this.#running.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    stopWait();
    this.#stopHeartbeat();
  }

  #wakeIdle(): void {
    const waiters = this.#idle;
    this.#idle = [];
    for (const wake of waiters) wake();
  }

  #beat(): void {
    for (const held of [...this.#running.values(), ...this.#waiting.values()]) held.delivery.working(); // W6
  }

  #settle(delivery: TaskDelivery): void {
    delivery.ack();
    this.#deps.onFree();
  }

  /** The task, or undefined when the message is none: then it is kept as a dead letter and taken off the queue. */
  #parse(delivery: TaskDelivery): TaskMessage | undefined {
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(delivery.data));
    } catch (error) {
      void this.#bury(delivery, 'MR_NOT_JSON', `the task is not JSON: ${messageOf(error)}`);
      return undefined;
    }
    const parsed = taskMessageSchema.safeParse(value);
    if (parsed.success) return parsed.data;
    void this.#bury(delivery, 'MR_INPUT_INVALID', `this is no task: ${describeIssues(parsed.error)}`);
    return undefined;
  }

  async #bury(delivery: TaskDelivery, code: string, reason: string): Promise<void> {
    const { telemetry, sink, onFree } = this.#deps;
    try {
      await sink.dead(delivery, code, reason);
      delivery.term(reason);
      telemetry.log.warn({ subject: delivery.subject, seq: delivery.seq, code }, reason);
    } catch (error) {
      delivery.nak(REPORT_AGAIN_MS);
      telemetry.log.warn({ subject: delivery.subject, error: messageOf(error) }, 'a dead letter could not be stored');
    }
    onFree();
  }

  #begin(key: string, held: Held): void {
    this.#running.set(key, held);
    this.#deps.telemetry.metrics.gauge('millrace_worker_running', this.#running.size, this.#labels);
    void this.#run(key, held);
  }

  async #run(key: string, held: Held): Promise<void> {
    const { handler, telemetry, timers, workerName } = this.#deps;
    const { task } = held;
    const span = this.#startSpan(held);
    const begun = timers.now();
    const stopStarted = timers.after(SHORT_MS, () => this.#reportStart(task, span));
    const outcome = await this.#outcome(held, span);
    stopStarted();
    if (!held.released) {
      const report = { outcome, begun: { worker: workerName, startedAt: begun }, span: span.context };
      await this.#report(key, held, report);
    }
    span.end(outcome.ok ? undefined : outcome.error.message);
    const labels = { ...this.#labels, outcome: outcome.ok ? 'succeeded' : 'failed' };
    telemetry.metrics.count('millrace_worker_attempts_total', labels);
    telemetry.metrics.observe('millrace_worker_attempt_seconds', (timers.now() - begun) / 1_000, {
      handler: handler.name,
    });
    this.#running.delete(key);
    telemetry.metrics.gauge('millrace_worker_running', this.#running.size, this.#labels);
    this.#next();
  }

  /** A hint for those who look while it runs: the result says the same, and does not depend on it. */
  #reportStart(task: TaskMessage, span: LiveSpan): void {
    const { sink, telemetry, workerName } = this.#deps;
    const { step, attempt } = task;
    const started: InputBody = { v: 1, kind: 'task.started', step, attempt, worker: workerName };
    sink.send(task, started, reportId('started', task), span.context).catch((error: unknown) => {
      telemetry.log.debug({ run: task.runId, step, error: messageOf(error) }, 'the start could not be reported');
    });
  }

  #next(): void {
    if (this.#running.size === 0) this.#wakeIdle();
    const [first] = this.#waiting;
    if (first === undefined) return this.#deps.onFree();
    this.#waiting.delete(first[0]);
    this.#begin(first[0], first[1]);
  }

  #startSpan({ task, delivery }: Held): LiveSpan {
    const { telemetry, handler } = this.#deps;
    return telemetry.tracer.start(`worker ${handler.name}`, contextFromHeaders(delivery.headers), 'consumer', {
      'millrace.workflow': task.workflow,
      'millrace.run': task.runId,
      'millrace.step': task.step,
      'millrace.attempt': task.attempt,
      'millrace.deliveries': delivery.deliveries,
    });
  }

  /** The handler's outcome, or the reason it was stopped: its timeout, a cancel, the drain (W7). */
  async #outcome(held: Held, span: LiveSpan): Promise<Outcome> {
    const { handler, timers, graceMs = GRACE_MS } = this.#deps;
    const { task, abort } = held;
    if (task.handler !== handler.name) {
      const message = `the task is for handler "${task.handler}", this is "${handler.name}"`;
      return { ok: false, error: terminalFailure('MR_HANDLER_MISSING', message, 'handler names differ in dots only') };
    }
    let timedOut = false;
    const stopTimeout =
      task.timeoutMs === undefined
        ? () => undefined
        : timers.after(task.timeoutMs, () => {
            timedOut = true;
            abort.abort(new Error(`attempt ${task.attempt} did not end within ${task.timeoutMs} ms`));
          });
    let stopGrace = (): void => undefined;
    const stopped = new Promise<undefined>((resolve) => {
      abort.signal.addEventListener('abort', () => {
        stopGrace = timers.after(held.graceMs ?? graceMs, () => resolve(undefined));
      });
    });
    const beats = this.#beats(held, span);
    const settled = await Promise.race([runAttempt(handler, task, this.#context(held, span, beats)), stopped]);
    beats.end();
    stopTimeout();
    stopGrace();
    if (!abort.signal.aborted || settled?.ok === true) return settled ?? this.#stopped(held, timedOut);
    return this.#stopped(held, timedOut);
  }

  #stopped({ task, abort }: Held, timedOut: boolean): Outcome {
    const message = messageOf(abort.signal.reason);
    const { log } = this.#deps.telemetry;
    log.info({ run: task.runId, step: task.step, attempt: task.attempt, reason: message }, 'attempt stopped');
    if (!timedOut) return { ok: false, error: terminalFailure('MR_CANCELLED', message) };
    return { ok: false, error: { code: 'MR_STEP_TIMEOUT', message, retryable: true, lost: false } };
  }

  /** Heartbeats of the attempt; their ids tell this process's from those of one that had the attempt before. */
  #beats({ task }: Held, span: LiveSpan): Beats {
    const { sink, timers, telemetry, workerName: worker } = this.#deps;
    const { step, attempt, heartbeatMs } = task;
    const startedAt = timers.now();
    return new Beats({
      heartbeatMs,
      timers,
      encode: (details) => jsonOf(`details of a heartbeat of ${task.handler}`, details),
      send: async (details, n) => {
        const said = details === undefined ? {} : { details };
        const body: InputBody = { v: 1, kind: 'task.heartbeat', step, attempt, worker, startedAt, ...said };
        await sink.send(task, body, `${reportId('beat', task)}:${startedAt}:${n}`, span.context);
      },
      lost: (error) => telemetry.log.warn({ run: task.runId, step, attempt, error }, 'a heartbeat could not be sent'),
    });
  }

  #context(held: Held, span: LiveSpan, beats: Beats): StepContext {
    const { workflow, runId, step, attempt, idempotencyKey, progress } = held.task;
    const { telemetry, handler, door } = this.#deps;
    return {
      workflow,
      runId,
      step,
      attempt,
      idempotencyKey,
      signal: held.abort.signal,
      progress,
      heartbeat: (details) => beats.beat(details),
      working: () => {
        if (!held.released) held.delivery.working();
      },
      log: telemetry.log.child({ handler: handler.name, workflow, run: runId, step, attempt }),
      nats: door,
      trace: span.context,
      fail,
    };
  }

  /** Stores the result, then acknowledges (W3); what cannot be stored now is kept for the redelivery (W5). */
  async #report(key: string, held: Held, result: Report): Promise<void> {
    const { task } = held;
    const { telemetry } = this.#deps;
    try {
      await this.#store(task, result);
    } catch (error) {
      this.#unreported.set(key, result);
      if (!held.released) held.delivery.nak(REPORT_AGAIN_MS);
      const fields = { run: task.runId, step: task.step, attempt: task.attempt, error: messageOf(error) };
      telemetry.log.warn(fields, 'the result could not be stored; it is reported again at the redelivery');
      return;
    }
    this.#unreported.delete(key);
    this.#done.set(key, true);
    held.delivery.ack();
  }

  /** A result the server can never take (too large) becomes a failure that says so. */
  async #store(task: TaskMessage, { outcome, begun, span }: Report): Promise<void> {
    const { sink, handler } = this.#deps;
    try {
      await sink.send(task, reportOf(task, outcome, begun), reportId('result', task), span);
    } catch (error) {
      if (!isMillraceError(error, 'MR_PAYLOAD_TOO_LARGE')) throw error;
      const message = `output of ${handler.name}: ${error.message}`;
      const refused = { ok: false, error: terminalFailure(error.code, message, error.hint) } as const;
      const failure = reportOf(task, refused, begun);
      await sink.send(task, failure, reportId('result', task), span);
    }
  }
}
