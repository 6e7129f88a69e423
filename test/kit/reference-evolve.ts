/**
 * The reference for evolve: one transition at a time, each giving a whole new state, as it was before states were drafted
 * (src/engine/model/state-draft.ts). Slow and plain; property tests hold the engine's to it.
 */
import {
  type Attributes,
  type ItemsState,
  newRun,
  type RunState,
  type StepState,
  type StoredEntry,
  stepOf,
  type Transition,
  type UpdateState,
} from '../../src/engine/index.ts';
import { unreachable } from '../../src/kernel/index.ts';
import { itemsOf, listOf } from './reference-items.ts';

/** An ended step keeps no word of its child's end. */
function withEnd(state: RunState, name: string, change: Partial<StepState>): RunState {
  const next = withStep(state, name, change);
  const { ending: _n, ...rest } = stepOf(next, name);
  return { ...next, steps: { ...next.steps, [name]: rest } };
}

function withStep(state: RunState, name: string, change: Partial<StepState>): RunState {
  return { ...state, steps: { ...state.steps, [name]: { ...stepOf(state, name), ...change } } };
}

function without(timers: RunState['timers'], timer: string): RunState['timers'] {
  const { [timer]: _gone, ...rest } = timers;
  return rest;
}

function evolveStep(state: RunState, t: Transition & { step: string }, at: number): RunState {
  const step = stepOf(state, t.step);
  switch (t.type) {
    case 'StepScheduled': {
      const { startedAt: _s, endedAt: _e, retryAt: _r, worker: _w, error: _x, child: _c, ...more } = step;
      const { ending: _n, slot: _l, ...kept } = more; // a slot is an attempt's
      const next: StepState = {
        ...kept,
        status: 'scheduled',
        attempt: t.attempt,
        input: t.input,
        scheduledAt: at,
        ...(t.since === undefined ? {} : { since: t.since }),
        ...(t.child === undefined ? {} : { child: t.child }),
      };
      return { ...state, steps: { ...state.steps, [t.step]: next } };
    }
    case 'StepStarted':
      return withStep(state, t.step, { status: 'running', worker: t.worker, startedAt: t.startedAt ?? at });
    case 'FlowStateChanged':
      return withStep(state, t.step, {
        flows: { ...step.flows, [t.attempt]: { flowRunId: t.flowRunId, state: t.state } },
      });
    case 'StepRetryScheduled':
      return withStep(state, t.step, {
        status: 'backoff',
        attempt: t.attempt,
        error: t.error,
        retryAt: t.retryAt,
        ...(t.since === undefined ? {} : { since: t.since }),
        failures: step.failures + (t.error.lost ? 0 : 1),
        lost: step.lost + (t.error.lost ? 1 : 0),
      });
    case 'StepFannedOut':
      return fannedOut(state, t, at);
    case 'ChildEnded':
      return withStep(state, t.step, { ending: t.ending });
    case 'StepHeartbeat':
      return t.details === undefined ? withStep(state, t.step, {}) : withStep(state, t.step, { progress: t.details });
    case 'StepPaused':
      return withStep(state, t.step, { status: 'paused', attempt: t.attempt, error: t.error });
    case 'StepResumed':
      return again(state, t.step);
    case 'StepCompleted':
      return undoing(
        withEnd(state, t.step, { status: 'completed', attempt: t.attempt, output: t.output, endedAt: at }),
        t,
      );
    case 'StepFailed':
      // An attempt whose input could not be computed fails without having been scheduled.
      return withEnd(state, t.step, { status: 'failed', attempt: t.attempt, error: t.error, endedAt: at });
    case 'StepSkipped':
      return withStep(state, t.step, { status: 'skipped', reason: t.reason, endedAt: at });
    case 'StepCancelled':
      return withEnd(state, t.step, { status: 'cancelled', reason: t.reason, endedAt: at });
    default:
      return state;
  }
}

/** Compensation: what is to be undone some day, and what has been. */
function undoing(state: RunState, t: Extract<Transition, { type: 'StepCompleted' }>): RunState {
  if (t.undo === true) return { ...state, undo: [...(state.undo ?? []), t.step] };
  if (state.undo === undefined || !t.step.startsWith('undo:')) return state;
  const name = t.step.slice('undo:'.length);
  const undone = (stepOf(state, name).undone ?? 0) + 1;
  return withStep({ ...state, undo: state.undo.filter((one) => one !== name) }, name, {
    status: 'compensated',
    undone,
  });
}

function anew(step: StepState): StepState {
  const { error: _x, reason: _r, endedAt: _e, retryAt: _t, output: _o, ...rest } = step;
  const { since: _s, items: _i, ending: _n, ...kept } = rest;
  return { ...kept, status: 'pending', failures: 0, lost: 0 };
}

function again(state: RunState, name: string): RunState {
  return { ...state, steps: { ...state.steps, [name]: anew(stepOf(state, name)) } };
}

function fannedOut(state: RunState, t: Extract<Transition, { type: 'StepFannedOut' }>, at: number): RunState {
  const change = { attempt: t.attempt, items: t.count, scheduledAt: at, startedAt: at };
  const fanned = withStep(state, t.step, { status: 'running', ...change });
  const { undone = 0 } = stepOf(state, t.step);
  const keeps = (fanned.items?.[t.step]?.undone ?? 0) === undone;
  const before = (fanned.items?.[t.step]?.chunks ?? []).flat();
  const kept = before.map((item) => (keeps && item.status === 'completed' ? item : anew(item)));
  const items = itemsOf(t.step, kept, {
    count: t.count,
    next: 1,
    ...(t.collect ? { collect: true } : {}),
    ...(undone > 0 ? { undone } : {}),
  });
  return { ...fanned, items: { ...fanned.items, [t.step]: items } };
}

function evolveItem(state: RunState, items: ItemsState, step: string, n: number, t: Transition, at: number): RunState {
  const name = `${step}#${n}`;
  const all = items.chunks.flat();
  const alone = { ...state, items: undefined, steps: { [name]: all[n - 1] ?? stepOf(newRun('', ''), name) } };
  const after = stepOf(referenceEvolve(alone as unknown as RunState, t, at), name);
  const grown = Array.from({ length: Math.max(n, all.length) }, (_, i) =>
    i === n - 1 ? after : (all[i] ?? stepOf(newRun('', ''), `${step}#${i + 1}`)),
  );
  const next = after.status !== 'pending' && n >= items.next ? n + 1 : items.next;
  const more = {
    count: items.count,
    next,
    ...(items.collect ? { collect: items.collect } : {}),
    ...(items.undone ? { undone: items.undone } : {}),
  };
  return { ...state, items: { ...state.items, [step]: itemsOf(step, grown, more) } };
}

/** The run after what concerns an item of a fan-out, or the end of one; undefined when it is about something else. */
function evolveFanOut(state: RunState, t: Transition, at: number): RunState | undefined {
  if (state.items === undefined || !('step' in t) || t.step === undefined) return undefined;
  if (t.type === 'RunFailed' || t.type === 'RunClosing' || t.type === 'SignalConsumed') return undefined;
  const own = state.items[t.step];
  if (t.type === 'StepCompleted' && own !== undefined && state.steps[t.step]?.items !== undefined) {
    return evolveOther(state, { ...t, output: listOf(own) }, at);
  }
  const [step = '', n] = t.step.split('#');
  const items = state.items[step];
  return items === undefined || n === undefined ? undefined : evolveItem(state, items, step, Number(n), t, at);
}

function evolveRetried(state: RunState, steps: readonly string[]): RunState {
  const { endedAt: _end, error: _error, failedStep: _step, reason: _reason, ...open } = state;
  const { closing: _closing, killed: _killed, ...rest } = open;
  return steps.reduce(again, { ...rest, status: 'running', retries: state.retries + 1 });
}

function withAttributes(state: RunState, attributes: Attributes): Attributes {
  const all = Object.entries({ ...state.attributes, ...attributes });
  return Object.fromEntries(all.filter(([, value]) => value !== null));
}

function evolveUpdate(state: RunState, t: Extract<Transition, { type: 'UpdateReceived' | 'UpdateEnded' }>): RunState {
  const { type, id, ...rest } = t;
  const known = state.updates?.[id];
  if (type === 'UpdateEnded' && known === undefined) return state;
  const { by: _by, ...said } = rest as typeof rest & { by?: string };
  const next = { ...known, ...said, ended: type === 'UpdateEnded' } as UpdateState;
  return { ...state, updates: { ...state.updates, [id]: next } };
}

function continued(state: RunState, t: Extract<Transition, { type: 'RunContinued' }>, at: number): RunState {
  const { patches: _p, updates: _u, closing: _c, undo: _n, items: _i, ...kept } = state;
  const { updates, ...carried } = t.carried ?? {};
  const open = Object.entries(updates ?? {}).map(([id, update]) => [id, { ...update, ended: false }] as const);
  return {
    ...kept,
    ...carried,
    ...(updates === undefined ? {} : { updates: Object.fromEntries(open) }),
    status: 'running',
    payload: t.payload,
    generation: t.generation,
    startedAt: at,
    steps: {},
    timers: {},
    ...(t.digest === undefined ? {} : { digest: t.digest }),
  };
}

function consumeSignal(state: RunState, name: string): RunState {
  const index = state.signals.findIndex((signal) => signal.name === name);
  return { ...state, signals: state.signals.filter((_, i) => i !== index) };
}

function evolveRare(state: RunState, t: Transition, at: number): RunState {
  switch (t.type) {
    case 'RunQueued': {
      const { slots: _slots, ...rest } = state;
      return { ...rest, status: 'queued', waitsFor: t.limits };
    }
    case 'SlotGranted':
      if (t.step !== undefined) return withStep(state, t.step, { slot: t.slot });
      return { ...state, slots: [...(state.slots ?? []), t.slot] };
    case 'RunAdmitted': {
      const { waitsFor: _none, ...rest } = state;
      return { ...rest, status: 'running', startedAt: at };
    }
    case 'AttributesSet':
      return { ...state, attributes: withAttributes(state, t.attributes) };
    case 'PatchApplied':
      return { ...state, patches: [...(state.patches ?? []), t.id] };
    case 'UpdateReceived':
    case 'UpdateEnded':
      return evolveUpdate(state, t);
    case 'RunClosing': {
      const { type: _type, ...closing } = t;
      return { ...state, closing };
    }
    case 'RunMoved':
      return { ...state, digest: t.digest };
    case 'RunContinued':
      return continued(state, t, at);
    default:
      return state;
  }
}

function started(state: RunState, t: Extract<Transition, { type: 'RunStarted' }>, at: number): RunState {
  return {
    ...state,
    status: 'running',
    digest: t.digest,
    payload: t.payload,
    ...(t.trace === undefined ? {} : { trace: t.trace }),
    startedAt: at,
    ...(t.source === undefined ? {} : { source: t.source }),
    ...(t.by === undefined ? {} : { by: t.by }),
    ...(t.worker === undefined ? {} : { worker: t.worker }),
    ...(t.notify === undefined ? {} : { notify: t.notify }),
    ...(t.parent === undefined ? {} : { parent: t.parent }),
    ...(t.attributes === undefined ? {} : { attributes: withAttributes(state, t.attributes) }),
    ...(t.priority === undefined ? {} : { priority: t.priority }),
    ...(t.version === undefined ? {} : { version: t.version }),
  };
}

function ended(state: RunState, status: RunState['status'], at: number): RunState {
  return { ...state, status, endedAt: at };
}

/**
 * Applies one transition.
 * @param at the journal's time of the entry, ms since the epoch
 */
export function referenceEvolve(state: RunState, t: Transition, at: number): RunState {
  return evolveFanOut(state, t, at) ?? evolveOther(state, t, at);
}

function evolveOther(state: RunState, t: Transition, at: number): RunState {
  switch (t.type) {
    case 'RunStarted':
      return started(state, t, at);
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
      return evolveRare(state, t, at);
    case 'RunClaimed':
      return {
        ...state,
        worker: t.worker,
        suspended: false,
        ...(t.version === undefined ? {} : { version: t.version }),
      };
    case 'RunSuspended':
      return { ...state, suspended: true };
    case 'TimerSet':
      return { ...state, timers: { ...state.timers, [t.timer]: t.at } };
    case 'TimerFired':
    case 'TimerCancelled':
      return { ...state, timers: without(state.timers, t.timer) };
    case 'SignalReceived':
      return { ...state, signals: [...state.signals, { name: t.name, payload: t.payload }] };
    case 'SignalConsumed':
      return consumeSignal(state, t.name);
    case 'SignalAwaited':
    case 'SleepStarted':
      return withStep(state, t.step, { status: 'waiting', attempt: t.attempt, scheduledAt: at, startedAt: at });
    case 'RunCompleted':
      return { ...ended(state, 'completed', at), ...(t.output === undefined ? {} : { output: t.output }) };
    case 'RunFailed':
      return {
        ...state,
        status: 'failed',
        endedAt: at,
        error: t.error,
        ...(t.step === undefined ? {} : { failedStep: t.step }),
      };
    case 'RunCancelled':
      return { ...ended(state, 'cancelled', at), reason: t.reason, ...(t.killed ? { killed: true } : {}) };
    case 'RunRetried':
      return evolveRetried(state, t.steps);
    case 'StepScheduled':
    case 'ChildEnded':
    case 'StepFannedOut':
    case 'StepHeartbeat':
    case 'StepPaused':
    case 'StepResumed':
    case 'StepStarted':
    case 'FlowStateChanged':
    case 'StepRetryScheduled':
    case 'StepCompleted':
    case 'StepFailed':
    case 'StepSkipped':
    case 'StepCancelled':
      return evolveStep(state, t, at);
    default:
      return unreachable(t);
  }
}

/** Applies a whole log entry. */
export function referenceEntry(state: RunState, entry: StoredEntry): RunState {
  const next = entry.transitions.reduce((s, t) => referenceEvolve(s, t, entry.at), state);
  return { ...next, lastInput: Math.max(state.lastInput, entry.cause), lastEntry: entry.seq };
}

/** The state of a run whose log is given, oldest entry first. */
export function referenceFold(workflow: string, runId: string, entries: readonly StoredEntry[]): RunState {
  return entries.reduce(referenceEntry, newRun(workflow, runId));
}
