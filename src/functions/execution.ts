/**
 * One execution of a durable function: from its start, or from what the journal recalls, until it ends, rests or is lost.
 *
 * Job: run the function, record what its operations give, rest when nothing of it can move. Boundary: ports only; it does
 * not acknowledge (its owner does, when told that it rests or has ended). Invariants (docs/architecture.md):
 *   F5 what is recorded is not executed again; what is not recorded is executed, at least once;
 *   F6 a run rests only when everything that can wake it is stored, timers included;
 *   F7 an execution that finds another worker's claim in the log writes nothing more.
 */
import type { ChildRef, InputBody, LogEntry, RunRef, Transition } from '../engine/index.ts';
import { type Json, MillraceError, type Result } from '../kernel/index.ts';
import { Children } from './children.ts';
import { createContext } from './context.ts';
import { checkedInput, checkedOutput } from './define.ts';
import { endingOfBatch } from './ending.ts';
import { failureOf, StepError } from './errors.ts';
import { Fence } from './fence.ts';
import { takeInput } from './inputs.ts';
import { asJson, copyOf } from './json.ts';
import type { Origin } from './kinship.ts';
import { Order, type OrderOwner } from './order.ts';
import type { ExecutionOptions, ExecutionOwner, Loss } from './ownership.ts';
import { Pauses } from './pauses.ts';
import { openEnds, type Recall, RUN_ENDED, recall } from './recall.ts';
import type { ExecutionPorts, Runtime } from './runtime.ts';
import { ExecutionSpans } from './spans.ts';
import { type Batch, type Effect, type HeldInput, isTooLarge, Tail, type TailOwner } from './tail.ts';
import type { Ending, WorkflowFunction } from './types.ts';
import { Waits } from './waits.ts';

/** How long a replay may stand still on something that is in no journal before it counts as diverged, in ms. */
const PATIENCE_MS = 1_000;

export class Execution implements Runtime, TailOwner, OrderOwner {
  readonly run: RunRef;
  readonly worker: string;
  readonly fn: WorkflowFunction;
  readonly ports: ExecutionPorts;
  readonly recalled: Recall;
  readonly tail: Tail;
  readonly order: Order;
  readonly spans: ExecutionSpans | undefined;
  /** The input that must not be let go of before it rests or ends, once its transitions are stored; at most one. */
  held: HeldInput[] = [];
  /** The journal's time as the function sees it. */
  now: number;
  /** What it was started with. */
  origin: Origin;
  /** It has returned, thrown or been cancelled: its end is on its way into the log. */
  returned = false;
  isOver = false;
  /** It has said in the log that it rests. */
  resting = false;
  /** Sequence of the input whose entry says that the run executes here: F8's, held from then on. */
  lease: number;
  readonly #owner: ExecutionOwner<Execution>;
  readonly #fence: Fence;
  #waits: Waits | undefined;
  #pauses: Pauses | undefined;
  #children: Children | undefined;
  #abort: AbortController | undefined;
  #names: Map<string, number> | undefined;
  #active = 0;
  /** Something could not be stored for its size: the run is to fail. */
  #tooLarge = false;
  #stopPatience: (() => void) | undefined;

  constructor(run: RunRef, fn: WorkflowFunction, options: ExecutionOptions<Execution>) {
    const { worker, ports, owner, recalled, cause, at } = options;
    this.run = run;
    this.fn = fn;
    this.worker = worker;
    this.ports = ports;
    this.recalled = recalled;
    this.#owner = owner;
    this.now = recalled.state.startedAt ?? at;
    this.origin = recalled.state;
    this.lease = cause;
    this.tail = new Tail(this, cause, recalled.state.lastEntry, at);
    this.order = new Order(this, recalled.order);
    this.#fence = new Fence(this);
    this.spans = ports.telemetry.tracer.enabled ? new ExecutionSpans(this) : undefined;
  }

  /** What it waits for; made when there is something. */
  get waits(): Waits {
    this.#waits ??= new Waits(this);
    return this.#waits;
  }

  /** Steps of it that wait for a person; made when there is one. */
  get pauses(): Pauses {
    this.#pauses ??= new Pauses(this);
    return this.#pauses;
  }

  /** Its child runs; made when there is one. */
  get children(): Children {
    this.#children ??= new Children(this);
    return this.#children;
  }

  /** Children that its end leaves without a parent, to be ended. */
  get closing(): readonly ChildRef[] {
    return this.#children?.closing ?? [];
  }

  /** How often it has continued as new. */
  get generation(): number {
    return this.recalled.state.generation ?? 0;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  /** Begins (or begins again) from the first line of the function. */
  begin(payload: Json): void {
    let running: Promise<unknown>;
    try {
      running = this.fn.run(createContext(this), checkedInput(this.fn, copyOf(payload)));
    } catch (error) {
      return this.#fails(error);
    }
    running.then(
      (output) => this.#returns(output),
      (error: unknown) => this.#fails(error),
    );
    this.order.schedule();
  }

  /** The journal's name of an operation: the name, numbered from its second use on. */
  idOf(name: string): string {
    if (name.includes('#')) {
      throw new MillraceError('MR_USAGE', `"${name}" cannot name an operation`, {
        hint: 'leave "#" out: it numbers operations of one name',
      });
    }
    this.#names ??= new Map();
    const used = (this.#names.get(name) ?? 0) + 1;
    this.#names.set(name, used);
    return used === 1 ? name : `${name}#${used}`;
  }

  /** Something of this process moves the run: it does not rest before as many {@link leave}. */
  enter(): void {
    this.wake();
    this.#active++;
  }

  /**
   * It said that it rests, and moves after all without an input, while it still holds its lease.
   * @param refused the log has not taken that it rests: then it never said so
   */
  wake(refused = false): void {
    const rests = this.held.length === 0 && this.tail.isIdle;
    if (!this.resting || rests) return;
    this.resting = false;
    this.#waits?.rearm();
    if (refused && this.tail.withdraw('RunSuspended')) return;
    this.tail.cause = this.lease;
    this.push({ type: 'RunClaimed', worker: this.worker });
  }

  leave(): void {
    this.#active--;
    this.order.schedule();
  }

  /** Adds to the log; undefined when the run takes nothing more here. */
  push(transition: Transition): Batch | undefined {
    if (this.isOver || this.returned) return undefined;
    const batch = this.tail.push(transition);
    this.order.schedule();
    return batch;
  }

  /** Gives a new result to the function, in its turn; from then on the journal's time is that of its batch. */
  settle(batch: Batch | undefined, give: () => void): void {
    if (batch !== undefined) this.order.settle(batch.at, give);
  }

  /** Gives a recorded result, in its turn. */
  replay(id: string, give: () => void): void {
    this.order.replay(id, this.recalled.times.get(id) ?? this.now, give);
  }

  /** F1 and F4: runs an effect when all before it is recalled and stored. */
  effect(effect: Effect): void {
    if (this.order.isReplaying) this.order.afterReplay(() => this.tail.afterStored(effect));
    else this.tail.afterStored(effect);
  }

  /** Takes an input that came while the run is here. */
  take(input: HeldInput, body: InputBody): void {
    takeInput(this, input, body);
  }

  /** Another process says that it wrote into the log: a signal or a timer it took for us, or a cancel. */
  look(): Promise<void> {
    return this.#fence.look();
  }

  append(entry: LogEntry, expectedLast: number): Promise<Result<number, 'conflict'>> {
    return this.ports.append(this.run, entry, expectedLast);
  }

  conflict(): void {
    void this.#fence.conflict();
  }

  #returns(output: unknown): void {
    if (this.isOver || this.returned) return;
    if (this.order.isStuck) return this.#diverged('the code returned');
    let json: Json;
    try {
      json = asJson(checkedOutput(this.fn, output), `what ${this.fn.name} returned`);
    } catch (error) {
      return this.#fails(error);
    }
    this.callOff();
    this.finish({ type: 'RunCompleted', output: json });
  }

  #fails(error: unknown): void {
    if (this.isOver || this.returned) return;
    if (this.order.isStuck) return this.#diverged('the code threw', error);
    this.callOff();
    const step = error instanceof StepError ? { step: error.step } : {};
    this.finish({ type: 'RunFailed', error: failureOf(error), ...step });
  }

  /** The run ends: no timer stays set, no wait open, no step paused, no child waited for. */
  callOff(): void {
    // It may end before the code has come to what the log has open.
    const recalled = this.recalled.state.lastEntry > 0;
    (recalled ? this.waits : this.#waits)?.cancelAll();
    (recalled ? this.pauses : this.#pauses)?.cancelAll(RUN_ENDED);
    (recalled ? this.children : this.#children)?.cancelAll();
  }

  /** The last transition of the run here. */
  finish(transition: Transition): Batch | undefined {
    const batch = this.push(transition);
    this.returned = true;
    return batch;
  }

  /** What it waits for without doing anything. */
  get #waiting(): number {
    return (this.#waits?.count ?? 0) + (this.#pauses?.count ?? 0) + (this.#children?.count ?? 0);
  }

  /** All results are out and all code that follows from them has run. */
  drained(): void {
    if (this.isOver) return;
    if (this.order.isReplaying) return this.#beginPatience();
    if (this.tail.isAppending) return;
    const quiet = this.#active === 0 && !this.returned && this.#waiting > 0;
    if (quiet && !this.resting) {
      this.resting = true;
      this.tail.push({ type: 'RunSuspended' });
    }
    this.tail.flush();
  }

  /** The code has not asked for what comes next in the log: it may await something of its own; for ever means that it changed. */
  #beginPatience(): void {
    const { expected } = this.order;
    this.#stopPatience?.();
    this.#stopPatience = this.ports.after(PATIENCE_MS, () => {
      if (!this.isOver && this.order.isReplaying && this.order.expected === expected) {
        this.#diverged('the code does not ask for it');
      }
    });
  }

  #diverged(how: string, cause?: unknown): void {
    const { workflow, runId } = this.run;
    const recorded = `the journal of run ${runId} of ${workflow} has "${this.order.expected}" as result ${this.order.replayed + 1}`;
    const error = new MillraceError('MR_REPLAY_DIVERGED', `${recorded}, but ${how}`, {
      hint: 'the code of the function has changed, or is not deterministic; deploy code that asks for the same operations in the same order',
      cause,
    });
    this.abandon({ error });
  }

  stored(batch: Batch): void {
    this.#fence.stored();
    this.spans?.stored(batch);
    const ending = endingOfBatch(batch);
    if (ending !== undefined) return this.#end(batch, ending);
    for (const effect of batch.effects) effect.begin();
    for (const input of batch.inputs) this.#recorded(batch, input);
    if (this.resting && this.tail.isIdle) return void this.#rest();
    this.order.schedule();
  }

  #recorded({ cause, transitions }: Batch, input: HeldInput): void {
    if (input.seq !== cause || !transitions.some(({ type }) => type === 'RunClaimed')) return input.ack();
    for (const former of this.held.splice(0)) former.ack();
    this.held.push(input);
  }

  #end(batch: Batch, ending: Ending): void {
    this.held.push(...batch.inputs);
    const unrecorded = this.tail.close().flatMap(({ inputs }) => inputs);
    this.#close();
    for (const effect of batch.effects) effect.begin(); // timers are called off; steps see that it is over
    this.#owner.ended(this, ending, unrecorded);
  }

  async #rest(): Promise<void> {
    try {
      await this.#waits?.store();
    } catch (error) {
      return this.abandon({ error });
    }
    // What came meanwhile has woken it; its inputs are kept until it rests again.
    if (this.isOver || !this.resting || !this.tail.isIdle) return;
    this.#owner.rested(this);
  }

  /** An append failed for good, or nobody knows whether it is stored. */
  failed(error: unknown): void {
    if (this.isOver) return;
    if (!isTooLarge(error) || this.#tooLarge) return this.abandon({ error });
    this.#tooLarge = true;
    this.returned = true;
    void this.#failAsStored(error);
  }

  /** The run ends as the log has it: what waits to be stored never will be, what was stored may have left something open. */
  async #failAsStored(error: unknown): Promise<void> {
    const { run, ports, tail } = this;
    try {
      const entries = (await ports.entries(run)).filter(({ seq }) => seq <= tail.lastEntry);
      if (this.isOver) return;
      const { state } = recall(run.workflow, run.runId, entries);
      this.children.left(state);
      const { effects } = tail.replace((dropped) => [
        ...dropped.filter(({ type }) => type === 'RunStarted'),
        ...openEnds(state, RUN_ENDED),
        { type: 'RunFailed', error: failureOf(error) },
      ]);
      for (const timer of Object.keys(state.timers)) effects.push({ begin: () => ports.cancelTimer(run, timer) });
    } catch (cause) {
      this.abandon({ error: cause });
    }
  }

  /** Ends it here, not the run. */
  abandon(why: Omit<Loss, 'unrecorded'>): void {
    if (this.isOver) return;
    const unrecorded = this.tail.close().flatMap(({ inputs }) => inputs);
    this.#close();
    this.#owner.lost(this, { ...why, unrecorded });
  }

  /** Forgets a resting execution: its run is cold from here on. */
  discard(): void {
    this.tail.close();
    this.#close();
  }

  #close(): void {
    this.isOver = true;
    this.order.closed = true;
    this.#stopPatience?.();
    this.#waits?.close();
    this.#abort?.abort(new MillraceError('MR_CANCELLED', 'the run does not go on in this process'));
  }
}
