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
import type { Attributes, AttributeValue } from './inputs.ts';
import { fannedOut, ItemsDraft, outputsOf } from './items-draft.ts';
import {
  type ItemsState,
  isUndo,
  itemAt,
  type RunState,
  type StepState,
  stepOf,
  type UpdateState,
  undoneBy,
} from './state.ts';
import {
  advanceStep,
  type Mutable,
  type OfStep,
  retriedStep,
  type Step,
  scheduledStep,
  skipStep,
  stepAfter,
} from './step-draft.ts';
import type { Carried, StoredEntry, Transition } from './transitions.ts';

/** What was carried over, as the state has it. */
function carriedState({ updates, ...carried }: Carried): Partial<RunState> {
  if (updates === undefined) return carried;
  const open: Record<string, UpdateState> = {};
  for (const [id, update] of Object.entries(updates)) put(open, id, { ...update, ended: false });
  return { ...carried, updates: open };
}

/** Those that most runs never have. */
type RareTransition = Extract<
  Transition,
  {
    readonly type:
      | 'RunQueued'
      | 'SlotGranted'
      | 'RunAdmitted'
      | 'AttributesSet'
      | 'PatchApplied'
      | 'UpdateReceived'
      | 'UpdateEnded'
      | 'RunClosing'
      | 'RunContinued'
      | 'RunMoved';
  }
>;
type Signal = RunState['signals'][number];

/** `RunFailed`, `RunClosing` and `SignalConsumed` name a step, too. */
function isOfStep(t: Extract<Transition, { readonly step?: string }>): t is OfStep {
  return 'attempt' in t || t.type === 'StepSkipped' || t.type === 'StepResumed';
}

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
  #items: Map<string, ItemsDraft> | undefined;
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
    if (this.#state.items !== undefined && 'step' in t && this.#ofItems(t, at)) return;
    switch (t.type) {
      case 'RunStarted':
        return this.#start(t, at);
      case 'RunClaimed':
        this.#state.worker = t.worker;
        this.#state.suspended = false;
        if (t.version !== undefined) this.#state.version = t.version;
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
        if (t.killed === true) this.#state.killed = true;
        return;
      case 'RunRetried':
        return this.#retry(t.steps);
      case 'StepSkipped':
        return skipStep(this.#ownStep(t.step), t.reason, at);
      case 'StepResumed':
        return this.#step(retriedStep(this.#stepOf(t.step)));
      case 'StepCompleted':
        advanceStep(this.#ownStep(t.step), this.#state.items === undefined ? t : this.#listed(t), at);
        return this.#remember(t);
      case 'StepScheduled':
        return this.#step(scheduledStep(this.#stepOf(t.step), t, at));
      case 'RunQueued':
      case 'SlotGranted':
      case 'RunAdmitted':
      case 'AttributesSet':
      case 'PatchApplied':
      case 'UpdateReceived':
      case 'UpdateEnded':
      case 'RunClosing':
      case 'RunContinued':
      case 'RunMoved':
        return this.#ofRun(t, at);
      case 'StepFannedOut':
        return this.#fanOut(t, at);
      default:
        return advanceStep(this.#ownStep(t.step), t, at);
    }
  }

  #ofRun(t: RareTransition, at: number): void {
    switch (t.type) {
      case 'RunQueued':
        this.#state.status = 'queued';
        this.#state.waitsFor = t.limits;
        delete this.#state.slots; // those of the ending that a retry took back
        return;
      case 'SlotGranted':
        if (t.step === undefined) this.#state.slots = [...(this.#state.slots ?? []), t.slot];
        else this.#ownStep(t.step).slot = t.slot;
        return;
      case 'RunAdmitted':
        this.#state.status = 'running';
        this.#state.startedAt = at;
        delete this.#state.waitsFor;
        return;
      case 'AttributesSet':
        return this.#setAttributes(t.attributes);
      case 'PatchApplied':
        this.#state.patches = [...(this.#state.patches ?? []), t.id];
        return;
      case 'UpdateReceived':
        return this.#update(t.id, {
          name: t.name,
          payload: t.payload,
          ...(t.notify === undefined ? {} : { notify: t.notify }),
          ended: false,
        });
      case 'UpdateEnded':
        return this.#endUpdate(t);
      case 'RunClosing': {
        const { type: _type, ...closing } = t;
        this.#state.closing = closing;
        return;
      }
      case 'RunContinued':
        return this.#continue(t, at);
      case 'RunMoved':
        this.#state.digest = t.digest;
        return;
      default:
        return unreachable(t);
    }
  }

  #fanOut(t: Extract<Transition, { type: 'StepFannedOut' }>, at: number): void {
    const step = this.#ownStep(t.step);
    advanceStep(step, t, at);
    this.#setItems(t.step, fannedOut(this.#itemsOf(t.step), t.count, t.collect === true, step.undone));
  }

  #itemsOf(step: string): ItemsState | undefined {
    const { items } = this.#state;
    return items !== undefined && Object.hasOwn(items, step) ? items[step] : undefined;
  }

  #setItems(step: string, items: ItemsState): ItemsDraft {
    const draft = new ItemsDraft(step, items);
    if (this.#items === undefined) {
      this.#items = new Map();
      this.#state.items = { ...this.#state.items };
    }
    put(this.#state.items as Record<string, ItemsState>, step, draft.state);
    this.#items.set(step, draft);
    return draft;
  }

  /** The end of a fan-out with its output, which is folded from the items. */
  #listed<T extends Extract<Transition, { type: 'StepCompleted' }>>(t: T): T {
    const items = this.#itemsOf(t.step);
    if (items === undefined || this.#stepOf(t.step).items === undefined) return t;
    return { ...t, output: outputsOf(items) };
  }

  /** What concerns an item of a fan-out; false: it is about something else. */
  #ofItems(t: Extract<Transition, { readonly step?: string }>, at: number): boolean {
    if (!isOfStep(t) || t.step === undefined) return false;
    const item = itemAt(t.step);
    const items = item === undefined ? undefined : this.#itemsOf(item.step);
    if (item === undefined || items === undefined) return false;
    const draft = this.#items?.get(item.step) ?? this.#setItems(item.step, items);
    draft.put(item.n, stepAfter(draft.get(item.n), t, at));
    return true;
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
    if (t.parent !== undefined) state.parent = t.parent;
    if (t.attributes !== undefined) this.#setAttributes(t.attributes);
    if (t.priority !== undefined) state.priority = t.priority;
    if (t.version !== undefined) state.version = t.version;
  }

  #setAttributes(attributes: Attributes): void {
    const next: Record<string, AttributeValue> = { ...this.#state.attributes };
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null) delete next[name];
      else put(next, name, value);
    }
    this.#state.attributes = next;
  }

  #update(id: string, update: UpdateState): void {
    const next = { ...this.#state.updates };
    put(next, id, update);
    this.#state.updates = next;
  }

  #endUpdate(t: Extract<Transition, { type: 'UpdateEnded' }>): void {
    const known = this.#state.updates?.[t.id];
    if (known === undefined) return;
    this.#update(t.id, {
      ...known,
      ended: true,
      ...(t.output === undefined ? {} : { output: t.output }),
      ...(t.error === undefined ? {} : { error: t.error }),
    });
  }

  /** What a run keeps that begins again; its signals among it. */
  #continue(t: Extract<Transition, { type: 'RunContinued' }>, at: number): void {
    const {
      patches: _patches,
      updates: _updates,
      closing: _closing,
      undo: _undo,
      items: _items,
      ...kept
    } = this.#state;
    const from = t.carried === undefined ? kept : { ...kept, ...carriedState(t.carried) };
    this.#state = { ...from, payload: t.payload, generation: t.generation, startedAt: at, steps: {}, timers: {} };
    this.#state.status = 'running';
    if (t.digest !== undefined) this.#state.digest = t.digest;
    this.#steps = undefined;
    this.#timers = undefined;
    this.#signals = undefined;
    this.#items = undefined;
    this.#unread?.clear();
  }

  #end(status: RunState['status'], at: number): void {
    this.#state.status = status;
    this.#state.endedAt = at;
  }

  /** What a completed step means to compensation: it is to be undone some day, or it has undone another. */
  #remember(t: Extract<Transition, { type: 'StepCompleted' }>): void {
    const undo = this.#state.undo;
    if (t.undo === true) this.#state.undo = [...(undo ?? []), t.step];
    else if (undo !== undefined && isUndo(t.step)) {
      const name = undoneBy(t.step);
      this.#state.undo = undo.filter((other) => other !== name);
      const step = this.#ownStep(name);
      step.status = 'compensated';
      step.undone = (step.undone ?? 0) + 1;
    }
  }

  #consume(name: string): void {
    const signals = this.#ownSignals();
    const index = signals.findIndex((signal) => signal.name === name);
    if (index !== -1) signals.splice(index, 1);
  }

  #retry(steps: readonly string[]): void {
    const {
      endedAt: _end,
      error: _error,
      failedStep: _step,
      reason: _reason,
      closing: _closing,
      killed: _killed,
      ...rest
    } = this.#state;
    this.#state = { ...rest, status: 'running', retries: rest.retries + 1 };
    for (const name of steps) this.#step(retriedStep(this.#stepOf(name)));
  }
}
