/**
 * One execution of a durable function: from its start, or from what the journal recalls, until it ends, rests or is lost.
 *
 * Job: run the function, record what its operations give, rest when nothing of it can move. Boundary: ports only; it does
 * not acknowledge (its owner does, when told that it rests or has ended). Invariants (docs/architecture.md):
 *   F5 what is recorded is not executed again; what is not recorded is executed, at least once;
 *   F6 a run rests only when everything that can wake it is stored, timers included;
 *   F7 an execution that finds another worker's claim in the log writes nothing more.
 */
import type { InputBody, LogEntry, RunRef, StoredEntry, Transition } from '../engine/index.ts';
import { type Json, MillraceError, type Result } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import { createContext } from './context.ts';
import { failureOf, StepError } from './errors.ts';
import { asJson } from './json.ts';
import { Order } from './order.ts';
import type { Recall } from './recall.ts';
import { ExecutionSpans } from './spans.ts';
import { type Batch, type HeldInput, isTooLarge, Tail } from './tail.ts';
import type { Ending, WorkflowFunction } from './types.ts';
import { Waits } from './waits.ts';

export interface ExecutionPorts {
  readonly append: (run: RunRef, entry: LogEntry, expectedLast: number) => Promise<Result<number, 'conflict'>>;
  readonly entries: (run: RunRef) => Promise<readonly StoredEntry[]>;
  /** Stores a schedule; setting one again is harmless. */
  readonly setTimer: (run: RunRef, timer: string, at: number) => Promise<void>;
  readonly cancelTimer: (run: RunRef, timer: string) => void;
  readonly now: () => number;
  /** Calls back after `ms` at most once; gives the way to call it off. */
  readonly after: (ms: number, then: () => void) => () => void;
  readonly defer: (then: () => void) => void;
  readonly telemetry: Telemetry;
}

/** Why an execution does not go on in this process. */
export interface Loss {
  /** The entry of the worker that has the run now, or that ended it. */
  readonly by?: StoredEntry;
  /** What failed here; the run is as the log says. */
  readonly error?: unknown;
  /** Inputs it held whose transitions are not in the log. */
  readonly unrecorded: readonly HeldInput[];
}

/** What the owner of executions is told. */
export interface ExecutionOwner {
  /** F6: nothing of it executes; its held inputs are done. */
  readonly rested: (execution: Execution) => void;
  /** `unrecorded`: inputs that came while it was ending. */
  readonly ended: (execution: Execution, ending: Ending, unrecorded: readonly HeldInput[]) => void;
  readonly lost: (execution: Execution, why: Loss) => void;
}

/** How long a replay may stand still on something that is in no journal before it counts as diverged, in ms. */
const PATIENCE_MS = 1_000;
/** When an input is looked at again that came while the run was ending, in ms. */
const ENDING_MS = 50;
const MAX_CONFLICTS = 100;

export class Execution {
  readonly run: RunRef;
  readonly worker: string;
  readonly fn: WorkflowFunction;
  readonly ports: ExecutionPorts;
  readonly recalled: Recall;
  readonly tail: Tail;
  readonly order: Order;
  readonly waits: Waits;
  readonly spans: ExecutionSpans;
  /** Inputs that this execution must not let go of before it rests or ends. */
  held: HeldInput[] = [];
  /** The journal's time as the function sees it. */
  now: number;
  /** Where the starter waits for the end. */
  notify: string | undefined;
  readonly #owner: ExecutionOwner;
  readonly #abort = new AbortController();
  readonly #names = new Map<string, number>();
  #active = 0;
  #returned = false;
  #resting = false;
  #rests = false;
  #over = false;
  #conflicts = 0;
  /** Others' entries up to this sequence have been taken in. */
  #readTo = 0;
  #stopPatience: (() => void) | undefined;

  constructor(
    run: RunRef,
    fn: WorkflowFunction,
    options: {
      readonly worker: string;
      readonly ports: ExecutionPorts;
      readonly owner: ExecutionOwner;
      readonly recalled: Recall;
      readonly cause: number;
      readonly at: number;
    },
  ) {
    const { worker, ports, owner, recalled, cause, at } = options;
    this.run = run;
    this.fn = fn;
    this.worker = worker;
    this.ports = ports;
    this.recalled = recalled;
    this.#owner = owner;
    this.now = recalled.state.startedAt ?? at;
    this.notify = recalled.state.notify;
    this.tail = new Tail(
      {
        append: (entry, expectedLast) => ports.append(run, entry, expectedLast),
        now: ports.now,
        stored: (batch) => this.#stored(batch),
        conflict: () => void this.#conflict(),
        failed: (error) => this.#failed(error),
      },
      { cause, lastEntry: recalled.state.lastEntry, at },
    );
    this.order = new Order({ defer: ports.defer, drained: () => this.#drained() }, recalled.order);
    this.waits = new Waits(this);
    this.spans = new ExecutionSpans(this);
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Nothing of it executes; an input wakes it. */
  get isResting(): boolean {
    return this.#rests;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Begins (or begins again) from the first line of the function. */
  begin(payload: Json): void {
    let input: unknown = payload;
    const { input: schema } = this.fn;
    if (schema !== undefined) {
      const parsed = schema.safeParse(payload);
      if (!parsed.success) {
        const where = parsed.error.issues[0];
        return this.#fails(
          new MillraceError(
            'MR_INPUT_INVALID',
            `the input of ${this.fn.name}: ${where?.path.join('.') ?? ''} ${where?.message ?? ''}`,
          ),
        );
      }
      input = parsed.data;
    }
    let running: Promise<unknown>;
    try {
      running = this.fn.run(createContext(this), input);
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
    const used = (this.#names.get(name) ?? 0) + 1;
    this.#names.set(name, used);
    return used === 1 ? name : `${name}#${used}`;
  }

  /** Something of this process moves the run: it does not rest before as many {@link leave}. */
  enter(): void {
    this.#active++;
  }

  leave(): void {
    this.#active--;
    this.order.schedule();
  }

  /** Adds to the log; undefined when the run takes nothing more here. */
  push(transition: Transition): Batch | undefined {
    if (this.#over || this.#returned) return undefined;
    const batch = this.tail.push(transition);
    this.order.schedule();
    return batch;
  }

  /** Gives a new result to the function, in its turn; from then on the journal's time is that of its batch. */
  settle(batch: Batch | undefined, give: () => void): void {
    if (batch === undefined) return;
    this.order.settle(() => {
      this.now = batch.at;
      give();
    });
  }

  /** Gives a recorded result, in its turn. */
  replay(id: string, give: () => void): void {
    this.order.replay(id, () => {
      this.now = this.recalled.times.get(id) ?? this.now;
      give();
    });
  }

  /** F1 and F4: runs an effect when all before it is recalled and stored. */
  effect(begin: () => void): void {
    this.order.afterReplay(() =>
      this.tail.afterStored(() => {
        if (!this.#over) begin();
      }),
    );
  }

  /** Takes an input that came while the run is here. */
  take(input: HeldInput, body: InputBody): void {
    // It has ended, only not in the log yet: then is soon enough to see what the input means to an ended run.
    if (this.#returned) return input.nak(ENDING_MS);
    const before = this.tail.cause;
    this.tail.cause = input.seq;
    const pushed = this.#input(body);
    if (pushed === undefined) {
      this.tail.cause = before;
      if (this.held.length > 0 || this.#rests) input.ack();
      else this.held.push(input);
      return;
    }
    pushed.inputs.push(input);
    this.order.schedule();
  }

  #input(body: InputBody): Batch | undefined {
    switch (body.kind) {
      case 'signal': {
        const wakes = this.waits.awaits(body.name);
        if (wakes) this.#wake();
        const by = body.by === undefined ? {} : { by: body.by };
        const batch = this.push({ type: 'SignalReceived', name: body.name, payload: body.payload, ...by });
        this.waits.signal(body.name, body.payload);
        return batch;
      }
      case 'timer': {
        if (!this.waits.isSet(body.timer)) return undefined;
        this.#wake();
        const batch = this.push({ type: 'TimerFired', timer: body.timer });
        this.waits.fired(body.timer);
        return batch;
      }
      case 'cancel':
        this.waits.cancelAll();
        return this.#finish({
          type: 'RunCancelled',
          reason: body.reason,
          ...(body.by === undefined ? {} : { by: body.by }),
        });
      default:
        return undefined;
    }
  }

  #wake(): void {
    if (!this.#resting) return;
    this.#resting = false;
    this.#rests = false;
    this.push({ type: 'RunClaimed', worker: this.worker });
  }

  #returns(output: unknown): void {
    if (this.#over || this.#returned) return;
    if (this.order.isReplaying) return this.#diverged(`the code returned`);
    let json: Json;
    try {
      json = asJson(output, `what ${this.fn.name} returned`);
    } catch (error) {
      return this.#fails(error);
    }
    this.waits.cancelAll();
    this.#finish({ type: 'RunCompleted', output: json });
  }

  #fails(error: unknown): void {
    if (this.#over || this.#returned) return;
    if (this.order.isReplaying) return this.#diverged('the code threw', error);
    this.waits.cancelAll();
    const step = error instanceof StepError ? { step: error.step } : {};
    this.#finish({ type: 'RunFailed', error: failureOf(error), ...step });
  }

  #finish(transition: Transition): Batch | undefined {
    const batch = this.push(transition);
    this.#returned = true;
    return batch;
  }

  /** All results are out and all code that follows from them has run. */
  #drained(): void {
    if (this.#over) return;
    if (this.order.isReplaying) return this.#beginPatience();
    if (this.tail.isAppending) return;
    const quiet = this.#active === 0 && !this.#returned && this.waits.count > 0;
    if (quiet && !this.#resting) {
      this.#resting = true;
      this.tail.push({ type: 'RunSuspended' });
    }
    this.tail.flush();
  }

  /** The code has not asked for what comes next in the log: it may await something of its own; for ever means that it changed. */
  #beginPatience(): void {
    const { expected } = this.order;
    this.#stopPatience?.();
    this.#stopPatience = this.ports.after(PATIENCE_MS, () => {
      if (!this.#over && this.order.isReplaying && this.order.expected === expected) {
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

  #stored(batch: Batch): void {
    this.#conflicts = 0;
    this.spans.stored(batch);
    const ending = endingOf(batch);
    if (ending !== undefined) return this.#end(batch, ending);
    for (const effect of batch.effects) effect();
    if (this.#resting && this.tail.isIdle) return void this.#rest(batch.inputs);
    for (const input of batch.inputs) {
      if (this.held.length > 0) input.ack();
      else this.held.push(input);
    }
    this.order.schedule();
  }

  #end(batch: Batch, ending: Ending): void {
    this.held.push(...batch.inputs);
    const unrecorded = this.tail.close().flatMap(({ inputs }) => inputs);
    this.#close();
    this.#owner.ended(this, ending, unrecorded);
  }

  async #rest(inputs: readonly HeldInput[]): Promise<void> {
    this.held.push(...inputs);
    try {
      await this.waits.store();
    } catch (error) {
      return this.abandon({ error });
    }
    // What came meanwhile has woken it; its inputs are kept until it rests again.
    if (this.#over || !this.#resting || !this.tail.isIdle) return;
    this.#rests = true;
    this.#owner.rested(this);
  }

  async #conflict(): Promise<void> {
    try {
      if (++this.#conflicts > MAX_CONFLICTS)
        throw new MillraceError('MR_CONFLICT', `${MAX_CONFLICTS} collisions in a row`);
      const last = await this.#readOn();
      if (!this.#over) this.tail.again(last);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Another process says that it wrote something into the log: a signal or a timer it took for us, or a cancel. */
  async look(): Promise<void> {
    if (this.#over || this.tail.isAppending) return; // the append will find it
    const before = this.tail.lastEntry;
    try {
      const last = await this.#readOn();
      if (!this.#over && !this.tail.isAppending && this.tail.lastEntry === before) this.tail.lastEntry = last;
    } catch {
      // Only a hint: the next append finds what this could not.
    }
  }

  /** Takes in what others wrote behind our last entry; gives the sequence of the log's end. */
  async #readOn(): Promise<number> {
    const after = this.tail.lastEntry;
    const entries = await this.ports.entries(this.run);
    if (this.#over) return after;
    const newer = entries.filter(({ seq }) => seq > after && seq > this.#readTo);
    const foreign = newer.find((entry) => this.#isForeign(entry));
    if (foreign !== undefined) this.abandon({ by: foreign });
    else {
      for (const entry of newer) {
        this.#readTo = entry.seq;
        for (const t of entry.transitions) {
          if (t.type === 'SignalReceived') this.waits.signal(t.name, t.payload);
          else if (t.type === 'TimerFired') this.waits.fired(t.timer);
        }
      }
    }
    return Math.max(after, this.#readTo);
  }

  /** F7. */
  #isForeign({ transitions }: StoredEntry): boolean {
    return transitions.some((t) => {
      if (t.type === 'RunStarted' || t.type === 'RunClaimed') return t.worker !== this.worker;
      return t.type === 'RunCompleted' || t.type === 'RunFailed' || t.type === 'RunCancelled';
    });
  }

  #failed(error: unknown): void {
    if (this.#over) return;
    if (!isTooLarge(error)) return this.abandon({ error });
    this.#returned = true;
    this.tail.replace({ type: 'RunFailed', error: failureOf(error) });
    this.tail.flush();
  }

  /** Ends it here, not the run. */
  abandon(why: Omit<Loss, 'unrecorded'>): void {
    if (this.#over) return;
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
    this.#over = true;
    this.order.closed = true;
    this.#stopPatience?.();
    this.waits.close();
    if (this.#active > 0)
      this.#abort.abort(new MillraceError('MR_CANCELLED', 'the run does not go on in this process'));
  }
}

function endingOf(batch: Batch): Ending | undefined {
  const last = batch.transitions.at(-1);
  switch (last?.type) {
    case 'RunCompleted':
      return { status: 'completed', output: last.output ?? null };
    case 'RunFailed':
      return { status: 'failed', error: last.error };
    case 'RunCancelled':
      return { status: 'cancelled', reason: last.reason };
    default:
      return undefined;
  }
}
