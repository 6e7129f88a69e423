/**
 * decide(definition, state, input) → transitions: what one input means to a run.
 *
 * Job: the rules of the state machine, as a pure function. Boundary: no clock, chance or I/O; time is the input's own.
 * Invariants (docs/architecture.md, M1 to M7):
 *   M1 an input that changes nothing gives no transitions, and would give none again before the next transition;
 *   M2 a result counts only for the attempt that is out;
 *   M3 attempts only count up, also over retries by hand;
 *   M4 a run ends exactly once until it is retried by hand;
 *   M5 an ended run has no timers set and no step open;
 *   M6 a signal is never lost: it waits for its step, even before the start;
 *   M7 every wait has an end: each attempt that is out has its report, its timeout or its run's cancel.
 */
import { spanIdOf, traceIdOfRun, unreachable } from '../../kernel/index.ts';
import {
  advance,
  closeOpenSteps,
  completeAttempt,
  failAttempt,
  failStep,
  giveSignal,
  retryAttempt,
} from './advance.ts';
import type { Definition, StepDefinition } from './definition.ts';
import { findStep } from './definition-index.ts';
import { Draft } from './draft.ts';
import { type Failure, type Input, type InputBody, TERMINAL_FLOW_STATES, type TraceContext } from './inputs.ts';
import { type FlowBinding, isOut, type RunState, stepOf } from './state.ts';
import { parseTimer } from './timers.ts';
import type { Transition } from './transitions.ts';

/** W3C Trace Context level 1, version 00; ids of zeros only are not valid. */
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

type Body<K extends InputBody['kind']> = Extract<InputBody, { kind: K }>;

/** A trace context anybody can continue: that of the starting message if it is one, else one derived from the run. */
function traceOf(runId: string, given: TraceContext | undefined): TraceContext {
  if (given !== undefined && TRACEPARENT.test(given.traceparent)) return given;
  return { traceparent: `00-${traceIdOfRun(runId)}-${spanIdOf(runId, 'origin')}-01` };
}

function start(draft: Draft, body: Body<'start'>): void {
  if (draft.state.status !== 'new') return;
  const trace = traceOf(draft.state.runId, body.trace);
  draft.emit({
    type: 'RunStarted',
    digest: body.digest,
    payload: body.payload,
    trace,
    ...(body.source === undefined ? {} : { source: body.source }),
    ...(body.by === undefined ? {} : { by: body.by }),
  });
  const { timeoutMs } = draft.definition;
  if (timeoutMs !== undefined) draft.setTimer({ kind: 'run', retries: 0 }, timeoutMs);
  advance(draft);
}

/**
 * The step, when this attempt of it is out at `where`; else undefined: the report is late or strange (anybody may publish)
 * and counts for nothing.
 */
function out(
  draft: Draft,
  body: { step: string; attempt: number },
  where: readonly StepDefinition['action']['kind'][],
): StepDefinition | undefined {
  const step = findStep(draft.definition, body.step);
  if (step === undefined || !where.includes(step.action.kind) || draft.state.status !== 'running') return undefined;
  const current = stepOf(draft.state, body.step);
  return isOut(current) && current.attempt === body.attempt ? step : undefined;
}

function begun(draft: Draft, step: StepDefinition, attempt: number, worker: string): void {
  if (stepOf(draft.state, step.name).status === 'scheduled') {
    draft.emit({ type: 'StepStarted', step: step.name, attempt, worker });
  }
}

/**
 * A short attempt is reported once, by its result: the result says who worked and since when. That time is the worker's
 * clock, so it is taken only as far as the journal's times allow.
 */
function begunBefore(draft: Draft, step: StepDefinition, body: Body<'task.succeeded' | 'task.failed'>): void {
  const { worker, startedAt = draft.at, attempt } = body;
  const { status, scheduledAt = draft.at } = stepOf(draft.state, step.name);
  if (worker === undefined || status !== 'scheduled') return;
  const began = Math.min(Math.max(startedAt, scheduledAt), draft.at);
  draft.emit({ type: 'StepStarted', step: step.name, attempt, worker, startedAt: began });
}

function flowFailure(body: Body<'flow'>): Failure {
  if (body.error !== undefined) return body.error;
  const lost = body.state.type === 'CRASHED';
  const message = body.state.message ?? `the flow run ended ${body.state.name}`;
  return { code: lost ? 'MR_STEP_LOST' : 'MR_STEP_FAILED', message, retryable: true, lost };
}

/** `true` when the report says more than is known: reports of three sources come twice and out of order. */
function isNews(known: FlowBinding | undefined, { flowRunId, state }: Body<'flow'>): boolean {
  if (known === undefined) return true;
  const same = known.flowRunId === flowRunId && known.state.type === state.type && known.state.name === state.name;
  if (same) return false;
  const ended = TERMINAL_FLOW_STATES.has(known.state.type);
  const ends = TERMINAL_FLOW_STATES.has(state.type);
  // The end of a flow run is news whatever its clock says: hosts' clocks differ. Two ends (a flow run retried by hand in
  // Prefect, a forced CRASHED) are ordered by their times, and an end is never taken back.
  if (ends && !ended) return true;
  return ends === ended && state.at >= known.state.at;
}

function flow(draft: Draft, body: Body<'flow'>): void {
  const { step: name, attempt, flowRunId, state, source } = body;
  const known = stepOf(draft.state, name);
  if (findStep(draft.definition, name)?.action.kind !== 'prefect' || attempt > known.attempt) return;
  // An attempt that is over is still noted: the log says how its flow run ended, so both sides can be compared.
  const step = out(draft, body, ['prefect']);
  if (flowRunId !== '' && isNews(known.flows[attempt], body)) {
    draft.emit({ type: 'FlowStateChanged', step: name, attempt, flowRunId, state, source });
  }
  if (step === undefined) return;
  switch (body.state.type) {
    case 'RUNNING':
      return begun(draft, step, body.attempt, `prefect:${body.flowRunId}`);
    case 'COMPLETED':
      completeAttempt(draft, step, body.result ?? null);
      return advance(draft);
    case 'FAILED':
    case 'CRASHED':
      return failAttempt(draft, step, flowFailure(body));
    case 'CANCELLED':
      return cancel(draft, { reason: body.state.message ?? 'the flow run was cancelled in Prefect', by: 'prefect' });
    default:
      return;
  }
}

function cancel(draft: Draft, body: { reason: string; by?: string | undefined }): void {
  if (draft.state.status !== 'running') return;
  closeOpenSteps(draft, body.reason);
  draft.emit({ type: 'RunCancelled', reason: body.reason, ...(body.by === undefined ? {} : { by: body.by }) });
}

function signal(draft: Draft, body: Body<'signal'>): void {
  // A failed or cancelled run may be retried by hand, so its signals wait; nothing can take one of a completed run.
  if (draft.state.status === 'completed') return;
  const by = body.by === undefined ? {} : { by: body.by };
  draft.emit({ type: 'SignalReceived', name: body.name, payload: body.payload, ...by });
  if (draft.state.status !== 'running') return;
  for (const step of draft.index.signals) giveSignal(draft, step);
  advance(draft);
}

function signalTimeout(draft: Draft, step: StepDefinition, attempt: number): void {
  if (step.action.kind !== 'signal') return;
  if (step.action.onTimeout === 'continue') {
    completeAttempt(draft, step, { received: false, payload: null });
    return advance(draft);
  }
  const message = `no signal "${step.action.name}" came within ${step.action.timeoutMs ?? 0} ms`;
  failStep(draft, step, attempt, { code: 'MR_SIGNAL_TIMEOUT', message, retryable: false, lost: false });
}

function runTimeout(draft: Draft): void {
  const message = `the run did not end within ${draft.definition.timeoutMs ?? 0} ms`;
  closeOpenSteps(draft, message);
  draft.emit({ type: 'RunFailed', error: { code: 'MR_RUN_TIMEOUT', message, retryable: false, lost: false } });
}

function timer(draft: Draft, id: string): void {
  const name = parseTimer(id);
  if (name === undefined || draft.state.timers[id] === undefined || draft.state.status !== 'running') return;
  draft.emit({ type: 'TimerFired', timer: id });
  if (name.kind === 'run') return runTimeout(draft);
  if ('retries' in name) return;
  const step = findStep(draft.definition, name.step);
  if (step === undefined) return;
  switch (name.kind) {
    case 'sleep':
      completeAttempt(draft, step, null);
      return advance(draft);
    case 'retry':
      return retryAttempt(draft, step);
    case 'signal':
      return signalTimeout(draft, step, name.attempt);
    case 'timeout': {
      const message = `attempt ${name.attempt} did not end within ${step.timeoutMs ?? 0} ms`;
      return failAttempt(draft, step, { code: 'MR_STEP_TIMEOUT', message, retryable: true, lost: false });
    }
    case 'queue':
    case 'heartbeat':
      return;
    default:
      return unreachable(name);
  }
}

function retry(draft: Draft, body: Body<'retry'>): void {
  if (draft.state.status !== 'failed' && draft.state.status !== 'cancelled') return;
  const steps = draft.definition.steps
    .filter(({ name }) => ['failed', 'cancelled'].includes(stepOf(draft.state, name).status))
    .map(({ name }) => name);
  draft.emit({ type: 'RunRetried', steps, ...(body.by === undefined ? {} : { by: body.by }) });
  const { timeoutMs } = draft.definition;
  if (timeoutMs !== undefined) draft.setTimer({ kind: 'run', retries: draft.state.retries }, timeoutMs);
  advance(draft);
}

function apply(draft: Draft, body: InputBody): void {
  switch (body.kind) {
    case 'start':
      return start(draft, body);
    case 'task.started': {
      const step = out(draft, body, ['worker']);
      return step === undefined ? undefined : begun(draft, step, body.attempt, body.worker);
    }
    case 'task.succeeded': {
      const step = out(draft, body, ['worker']);
      if (step === undefined) return;
      begunBefore(draft, step, body);
      completeAttempt(draft, step, body.output);
      return advance(draft);
    }
    case 'task.failed': {
      // A dispatch that no flow host would take is given up in the same words as a task.
      const step = out(draft, body, ['worker', 'prefect']);
      if (step === undefined) return;
      begunBefore(draft, step, body);
      return failAttempt(draft, step, body.error);
    }
    case 'flow':
      return flow(draft, body);
    case 'timer':
      return timer(draft, body.timer);
    case 'signal':
      return signal(draft, body);
    case 'cancel':
      return cancel(draft, body);
    case 'retry':
      return retry(draft, body);
    case 'task.heartbeat':
    case 'child':
    case 'kill':
    case 'resume':
    case 'update':
    case 'slot':
      return;
    default:
      return unreachable(body);
  }
}

export interface Decision {
  /** Empty: nothing to store, acknowledge the input. */
  readonly transitions: readonly Transition[];
  /** The state after them; `lastInput` and `lastEntry` are those before, until the entry is stored. */
  readonly after: RunState;
}

/**
 * What the input means to the run, and what the run is then.
 *
 * @param definition the definition whose digest the run carries (for a new run: the one its start names; a signal before
 *   the start may be decided with any)
 */
export function decision(definition: Definition, state: RunState, input: Input): Decision {
  const draft = new Draft(definition, state, input.at);
  apply(draft, input.body);
  return { transitions: draft.transitions, after: draft.state };
}

/** The transitions of {@link decision}. */
export function decide(definition: Definition, state: RunState, input: Input): readonly Transition[] {
  return decision(definition, state, input).transitions;
}
