/**
 * Executes the runs of one durable function in one process, any number of which share its stream.
 *
 * Job: give each input to the execution it belongs to, begin and resume executions, hold inputs as leases. Boundary: ports
 * only (journal, timers, notices, time). Invariants (docs/architecture.md):
 *   F8 an input is acknowledged only when its transitions are in the log; the one whose entry says that the run executes
 *      here (its lease) only when the run rests, has ended, or executes under another: so a run that executes always has
 *      an input that comes again when its process dies;
 *   F9 a run that executes elsewhere is not executed here: its inputs go into the log, and its executor is told to look;
 *   F10 whoever takes a run over says so in the log before any effect of his.
 */

import type { InputBody, InputDelivery, Parent, RunRef, Transition } from '../engine/index.ts';
import { giveBackMs, isEnded, isOld, isPurged, parseInput } from '../engine/index.ts';
import { isMillraceError, messageOf } from '../kernel/index.ts';
import { endingOfState } from './ending.ts';
import { Execution } from './execution.ts';
import { Holding } from './holding.ts';
import type { HostOptions, HostPorts } from './host-ports.ts';
import { isForeignStart, openChildren, refuseParent, tellKin, tellKinOf } from './kin.ts';
import type { ExecutionOwner, Loss } from './ownership.ts';
import { claimBy, isRecorded, noRecall, type Recall, recall } from './recall.ts';
import { type Body, means, recordOf, retried, startedOf } from './records.ts';
import type { ExecutionPorts } from './runtime.ts';
import type { HeldInput } from './tail.ts';
import type { Ending, WorkflowFunction } from './types.ts';

/** When an input comes again that means something to the log and nothing to the execution here, in ms. */
const STRAY_MS = 50;

/** Inputs that mean something to a run that is in this process. */
const TAKEN: ReadonlySet<InputBody['kind']> = new Set(['signal', 'timer', 'resume', 'child', 'cancel', 'kill']);

export class FunctionHost implements ExecutionOwner<Execution> {
  readonly #fn: WorkflowFunction;
  readonly #ports: HostPorts;
  readonly #options: HostOptions;
  readonly #executionPorts: ExecutionPorts;
  readonly #live = new Map<string, Execution>();
  /** Resting executions, the longest at rest first. */
  readonly #resting = new Map<string, Execution>();
  readonly #loading = new Map<string, Promise<void>>();
  #draining = false;
  #idle: (() => void)[] = [];

  constructor(fn: WorkflowFunction, ports: HostPorts, options: HostOptions) {
    this.#fn = fn;
    this.#ports = ports;
    this.#options = options;
    const { journal } = ports;
    this.#executionPorts = {
      ...ports,
      append: (run, entry, expectedLast) => journal.append(run, entry, expectedLast),
      entries: (run) => journal.entries(run),
    };
  }

  /** Runs that execute here now. */
  get executing(): number {
    return this.#live.size - this.#resting.size;
  }

  /** Takes a delivery; resolves when it is acknowledged, given back or let go. Never rejects. */
  handle(delivery: InputDelivery): Promise<void> {
    return new Promise((resolve) => this.#accept(new Holding(delivery, resolve), delivery));
  }

  /** @param first nobody else can have had the input: it has not come before, and has not waited here for long */
  #accept(input: Holding, delivery: InputDelivery, first = delivery.deliveries === 1): void {
    const key = delivery.run.runId;
    const loading = this.#loading.get(key);
    if (loading !== undefined) return void loading.then(() => this.#accept(input, delivery, false));
    const parsed = parseInput(delivery.data);
    if (!parsed.ok) return this.#load(key, input, () => this.#refuse(input, delivery, parsed.error));
    if (this.#draining) return input.nak();
    const body = parsed.value;
    if (body.kind === 'imported') return input.ack(); // history of a run that ended elsewhere
    const live = this.#live.get(key);
    if (live !== undefined) return this.#toLive(live, key, input, body, first);
    if (body.kind === 'start' && body.fresh === true && first && !isOld(delivery.at, this.#ports.now())) {
      return this.#start(delivery.run, input, body, noRecall(delivery.run.workflow, key), delivery.at);
    }
    this.#load(key, input, () => this.#cold(delivery.run, input, body, delivery.at));
  }

  async #refuse(input: Holding, delivery: InputDelivery, poison: { code: string; reason: string }): Promise<void> {
    await this.#ports.refuse(delivery, poison.code, poison.reason);
    input.term('see the dead letter');
  }

  /** One run at a time: what comes for it meanwhile waits. */
  #load(key: string, input: Holding, work: () => Promise<void>): void {
    const loading: Promise<void> = work()
      .catch((error: unknown) => this.#giveBack([input], error))
      .finally(() => {
        if (this.#loading.get(key) === loading) this.#loading.delete(key);
        this.#left();
      });
    this.#loading.set(key, loading);
  }

  #toLive(live: Execution, key: string, input: Holding, body: InputBody, first: boolean): void {
    const index = live.held.findIndex(({ seq }) => seq === input.seq);
    if (index >= 0) {
      // It came again because we held it for too long; the newer delivery is the one the server waits for.
      live.held[index]?.drop();
      live.held[index] = input;
      return;
    }
    if (first) return this.#give(live, key, input, body);
    if (live.tail.holds(input.seq)) return input.drop();
    this.#load(key, input, async () => {
      const entries = await this.#ports.journal.entries(live.run);
      if (live.isOver) return input.nak();
      if (!isRecorded(entries, input.seq)) return this.#give(live, key, input, body);
      if (input.seq === live.lease) return input.ack();
      const claim = claimBy(entries, input.seq);
      const recalled = recall(live.run.workflow, key, entries);
      if (isEnded(recalled.state)) return this.#endedAgain(live.run, input, recalled, body); // F23
      if (claim === undefined && recalled.state.suspended === true) return this.#restsAgain(live.run, input, recalled);
      if (claim === undefined) return input.ack();
      // Ours is what is left of an earlier execution; whoever held this lease is gone.
      live.abandon({ by: claim });
      input.nak();
    });
  }

  #give(live: Execution, key: string, input: Holding, body: InputBody): void {
    if (isForeignStart(body, live.origin.parent)) {
      return this.#load(key, input, () => this.#refuseStart(live.run, input, body.parent));
    }
    if (!TAKEN.has(body.kind)) return input.ack();
    if (isUnknown(live, body)) return this.#stray(live, key, input, body);
    live.take(input, body);
    // What it takes in must be stored before it may be forgotten.
    if (!live.resting || !live.tail.isIdle) this.#resting.delete(key);
  }

  /** What an execution here does not wait for: another may have the run, and wait for it. */
  #stray(live: Execution, key: string, input: Holding, body: InputBody): void {
    this.#load(key, input, async () => {
      const entries = await this.#ports.journal.entries(live.run);
      if (!means(recall(live.run.workflow, key, entries), body)) return input.ack();
      await live.look();
      input.nak(STRAY_MS);
    });
  }

  #start(run: RunRef, input: Holding, body: Body<'start'>, recalled: Recall, at: number): void {
    const execution = this.#execution(run, recalled, input, at);
    const started = startedOf(body, this.#options.worker);
    const batch = execution.tail.push(started, true);
    execution.now = batch.at;
    execution.origin = started;
    execution.spans?.begin(body.trace?.traceparent, batch.at);
    execution.begin(body.payload);
  }

  #execution(run: RunRef, recalled: Recall, input: HeldInput, at: number): Execution {
    const { worker } = this.#options;
    const options = { worker, ports: this.#executionPorts, owner: this, recalled, cause: input.seq, at };
    const execution = new Execution(run, this.#fn, options);
    execution.held.push(input);
    this.#live.set(run.runId, execution);
    return execution;
  }

  /** F10. */
  #takeOver(run: RunRef, input: Holding, recalled: Recall, at: number, body?: InputBody): void {
    const execution = this.#execution(run, recalled, input, at);
    execution.push({ type: 'RunClaimed', worker: this.#options.worker });
    if (body !== undefined) {
      execution.held.length = 0;
      execution.take(input, body);
    }
    execution.begin(recalled.state.payload);
    this.#ports.telemetry.metrics.count('millrace_functions_resumed_total', { workflow: run.workflow });
  }

  /** An input of a run that is not in this process. */
  async #cold(run: RunRef, input: Holding, body: InputBody, at: number): Promise<void> {
    const entries = await this.#ports.journal.entries(run);
    if (this.#draining) return input.nak();
    const recalled = recall(run.workflow, run.runId, entries);
    const { state } = recalled;
    // A process that stood still for long may hold what was purged with its run: that must not begin anew.
    const mayBeGone = state.status === 'new' && isOld(at, this.#ports.now());
    if (mayBeGone && (await isPurged(this.#ports.journal, { run, seq: input.seq }))) return input.ack();
    if (body.kind === 'start' && state.status === 'new') return this.#start(run, input, body, recalled, at);
    const recorded = body.kind === 'start' || isRecorded(entries, input.seq);
    if (isEnded(state))
      return recorded ? this.#endedAgain(run, input, recalled, body) : this.#afterEnd(run, input, body, recalled, at);
    if (isForeignStart(body, state.parent)) return this.#refuseStart(run, input, body.parent);
    if (state.suspended === true && recorded) return this.#restsAgain(run, input, recalled);
    // Recorded, delivered again, and the run does not rest: if it was its executor's lease, the executor is gone.
    if (recorded) return input.seq === recalled.lease ? this.#takeOver(run, input, recalled, at) : input.ack();
    await this.#fresh(run, input, body, recalled, at);
  }

  /** An input that nobody has recorded, of a run that has not ended. */
  async #fresh(run: RunRef, input: Holding, body: InputBody, recalled: Recall, at: number): Promise<void> {
    const { state } = recalled;
    const counts = body.kind === 'signal' || (state.status === 'running' && means(recalled, body));
    if (!counts) return input.ack();
    const ends = body.kind === 'cancel' || body.kind === 'kill';
    if (state.suspended === true && !ends) return this.#takeOver(run, input, recalled, at, body);
    const transitions = recordOf(recalled, body);
    const stored = await this.#ports.journal.append(
      run,
      { v: 1, cause: input.seq, at: Math.max(at, this.#ports.now()), transitions },
      state.lastEntry,
    );
    if (!stored.ok) return this.#cold(run, input, body, at); // somebody moved it; what is true now?
    if (ends) {
      for (const timer of Object.keys(state.timers)) this.#ports.cancelTimer(run, timer);
      await this.#endedNow(run, recalled, body.reason, body.kind === 'kill');
    }
    this.#ports.wake(run); // F9
    input.ack();
  }

  /** The acknowledgement was lost, or the process died just before it. */
  async #endedAgain(run: RunRef, input: Holding, { state }: Recall, body: InputBody): Promise<void> {
    const ending = endingOfState(state);
    if (ending !== undefined) this.#tell(run, state.notify, ending);
    const foreign = isForeignStart(body, state.parent);
    // A later attempt of the same step asks under its own number.
    const parent = body.kind === 'start' && !foreign ? (body.parent ?? state.parent) : state.parent;
    await tellKinOf(this.#ports.family, run, state, parent); // F23
    if (foreign) return this.#refuseStart(run, input, body.parent);
    input.ack();
  }

  /** A run that exists was to be started as somebody's child. */
  async #refuseStart(run: RunRef, input: Holding, parent: Parent): Promise<void> {
    await refuseParent(this.#ports.family, run, parent);
    input.ack();
  }

  /** F23: the run's cancellation is in the log. */
  async #endedNow(run: RunRef, { state }: Recall, reason: string, killed: boolean): Promise<void> {
    const ending: Ending = { status: 'cancelled', reason };
    this.#tell(run, state.notify, ending);
    const closing = openChildren(state);
    await tellKin(this.#ports.family, { run, parent: state.parent, ending, closing, killed });
  }

  async #restsAgain(run: RunRef, input: Holding, { state }: Recall): Promise<void> {
    // F6: the process may have died between the entry and the timers.
    const timers = Object.entries(state.timers);
    await Promise.all(timers.map(([timer, due]) => this.#ports.setTimer(run, timer, due)));
    input.ack();
  }

  async #afterEnd(run: RunRef, input: Holding, body: InputBody, recalled: Recall, at: number): Promise<void> {
    const { state } = recalled;
    const open = state.status === 'failed' || state.status === 'cancelled';
    if (!open || (body.kind !== 'signal' && body.kind !== 'retry')) return input.ack();
    const transitions: Transition[] =
      body.kind === 'signal'
        ? recordOf(recalled, body)
        : [retried(recalled, body), { type: 'RunClaimed', worker: this.#options.worker }];
    const entry = { v: 1 as const, cause: input.seq, at: Math.max(at, this.#ports.now()), transitions };
    const stored = await this.#ports.journal.append(run, entry, state.lastEntry);
    if (!stored.ok) return this.#cold(run, input, body, at);
    if (body.kind === 'signal') return input.ack();
    await this.#cold(run, input, body, at); // it may have been cancelled since
  }

  #tell(run: RunRef, notify: string | undefined, ending: Ending): void {
    if (notify !== undefined) this.#ports.notify(notify, run, ending);
  }

  rested(execution: Execution): void {
    const key = execution.run.runId;
    for (const input of execution.held.splice(0)) input.ack();
    this.#resting.delete(key);
    this.#resting.set(key, execution);
    if (this.#resting.size > (this.#options.keepResting ?? 1_000)) {
      const [oldest] = this.#resting;
      if (oldest !== undefined) this.#forget(oldest[0], oldest[1]);
    }
    this.#left();
  }

  #forget(key: string, execution: Execution): void {
    this.#resting.delete(key);
    this.#live.delete(key);
    execution.discard();
  }

  ended(execution: Execution, ending: Ending, unrecorded: readonly HeldInput[]): void {
    const { run, origin, held, closing } = execution;
    this.#live.delete(run.runId);
    this.#resting.delete(run.runId);
    const told = tellKin(this.#ports.family, { run, parent: origin.parent, ending, closing, killed: false });
    if (told === undefined) this.#letGo(held, unrecorded);
    else this.#afterwards(run.runId, told, held, unrecorded);
    this.#tell(run, origin.notify, ending);
    this.#ports.telemetry.metrics.count('millrace_functions_ended_total', {
      workflow: run.workflow,
      outcome: ending.status,
    });
    this.#left();
  }

  #letGo(held: readonly HeldInput[], unrecorded: readonly HeldInput[]): void {
    for (const input of held) input.ack();
    for (const input of unrecorded) input.nak();
  }

  /** F23: what the end means to others is sent; what comes for the run meanwhile waits. */
  #afterwards(key: string, told: Promise<void>, held: readonly HeldInput[], unrecorded: readonly HeldInput[]): void {
    const done = told
      .then(
        () => this.#letGo(held, unrecorded),
        (error: unknown) => this.#giveBack([...held, ...unrecorded], error),
      )
      .finally(() => {
        if (this.#loading.get(key) === done) this.#loading.delete(key);
        this.#left();
      });
    this.#loading.set(key, done);
  }

  lost(execution: Execution, why: Loss): void {
    const { run, held } = execution;
    this.#live.delete(run.runId);
    this.#resting.delete(run.runId);
    if (why.by === undefined && why.error === undefined) for (const input of [...held, ...why.unrecorded]) input.nak();
    else if (why.by === undefined) this.#giveBack([...held, ...why.unrecorded], why.error);
    else {
      // The input its new holder goes by is his; the others are recorded and would only wake the run without need.
      for (const input of held)
        if (input.seq === why.by.cause) input.drop();
        else input.ack();
      for (const input of why.unrecorded)
        if (input.seq === why.by.cause) input.drop();
        else input.nak();
      this.#ports.telemetry.metrics.count('millrace_functions_lost_total', { workflow: run.workflow });
    }
    this.#left();
  }

  #giveBack(inputs: readonly HeldInput[], error: unknown): void {
    const { log } = this.#ports.telemetry;
    const code = isMillraceError(error) ? error.code : 'MR_INTERNAL';
    for (const input of inputs) {
      const delayMs = giveBackMs(input.deliveries);
      input.nak(delayMs);
      log.warn(
        { workflow: this.#fn.name, seq: input.seq, deliveries: input.deliveries, delayMs, code, err: error },
        `input given back: ${messageOf(error)}`,
      );
    }
  }

  /** Someone wrote into the log of a run that may execute here. */
  wake(runId: string): void {
    void this.#live.get(runId)?.look();
  }

  /** Takes nothing more, waits for runs to rest or end until the deadline, gives the rest back for others to take over. */
  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    for (const [key, execution] of this.#resting) this.#forget(key, execution);
    const stop = this.#ports.after(deadlineMs, () => {
      for (const execution of [...this.#live.values()]) execution.abandon({});
      this.#left();
    });
    while (this.#live.size > 0 || this.#loading.size > 0)
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    stop();
  }

  #left(): void {
    if (!this.#draining) return;
    for (const [key, execution] of this.#resting) this.#forget(key, execution);
    for (const wake of this.#idle.splice(0)) wake();
  }
}

function isUnknown(live: Execution, body: InputBody): boolean {
  if (body.kind === 'timer') return !live.waits.isSet(body.timer);
  if (body.kind === 'resume') return !live.pauses.waits(body.step);
  return body.kind === 'child' && !live.children.awaits(body.step, body.runId);
}
