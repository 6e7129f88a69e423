/**
 * decide(definition, state, input) → transitions: what one input means to a run.
 *
 * Job: the rules of the state machine, as a pure function. Boundary: no clock, chance or I/O; time is the input's own.
 * Invariants (docs/architecture.md, M1 to M9):
 *   M1 an input that changes nothing gives no transitions, and would give none again before the next transition;
 *   M2 a result counts only for the attempt that is out;
 *   M3 attempts only count up, also over retries by hand;
 *   M4 a run ends exactly once until it is retried by hand;
 *   M5 an ended run has no timers set and no step open;
 *   M6 a signal is never lost: it waits for its step, even before the start;
 *   M7 every wait has an end: each attempt that is out has its report, its timeout or its run's cancel;
 *   M8 nothing begins in a run that is being closed but compensations, one at a time, the last completed step first;
 *   M9 a run that failed or was cancelled, and not killed, has undone every completed step that declares how, or the
 *      compensation has failed.
 */
import { spanIdOf, traceIdOfRun, unreachable } from '../../kernel/index.ts';
import { advance } from './advance.ts';
import { childEnded } from './children.ts';
import { cancelRun, killRun } from './closing.ts';
import { flow } from './decide-flows.ts';
import { resume, retry, signal } from './decide-people.ts';
import { taskFailed, taskHeartbeat, taskStarted, taskSucceeded } from './decide-tasks.ts';
import { timer } from './decide-timers.ts';
import type { Definition } from './definition.ts';
import { Draft } from './draft.ts';
import type { BodyOf, Input, InputBody, TraceContext } from './inputs.ts';
import { beginRun, priorityOf, slot } from './slots.ts';
import type { RunState } from './state.ts';
import type { Transition } from './transitions.ts';
import { expressionFailure } from './variables.ts';
import { moveRun } from './versions.ts';

/** W3C Trace Context level 1, version 00; ids of zeros only are not valid. */
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** A trace context anybody can continue: that of the starting message if it is one, else one derived from the run. */
function traceOf(runId: string, given: TraceContext | undefined): TraceContext {
  if (given !== undefined && TRACEPARENT.test(given.traceparent)) return given;
  return { traceparent: `00-${traceIdOfRun(runId)}-${spanIdOf(runId, 'origin')}-01` };
}

function start(draft: Draft, body: BodyOf<'start'>): void {
  if (draft.state.status !== 'new') return;
  const trace = traceOf(draft.state.runId, body.trace);
  const started = {
    type: 'RunStarted',
    digest: body.digest,
    payload: body.payload,
    trace,
    ...(body.source === undefined ? {} : { source: body.source }),
    ...(body.by === undefined ? {} : { by: body.by }),
    ...(body.parent === undefined ? {} : { parent: body.parent }),
  } as const;
  try {
    const priority = body.priority ?? priorityOf(draft.definition, body.payload);
    draft.emit(priority === undefined ? started : { ...started, priority });
  } catch (error) {
    draft.emit(started);
    return draft.emit({ type: 'RunFailed', error: expressionFailure(error) });
  }
  beginRun(draft);
}

function apply(draft: Draft, body: Exclude<InputBody, BodyOf<'move'>>): void {
  switch (body.kind) {
    case 'start':
      return start(draft, body);
    case 'task.started':
      return taskStarted(draft, body);
    case 'task.heartbeat':
      return taskHeartbeat(draft, body);
    case 'task.succeeded':
      return taskSucceeded(draft, body);
    case 'task.failed':
      return taskFailed(draft, body);
    case 'flow':
      return flow(draft, body);
    case 'timer':
      return timer(draft, body);
    case 'child':
      return childEnded(draft, body);
    case 'signal':
      return signal(draft, body);
    case 'cancel':
      return cancelRun(draft, body);
    case 'kill':
      return killRun(draft, body);
    case 'resume':
      return resume(draft, body);
    case 'retry':
      return retry(draft, body);
    case 'update':
    case 'imported':
      return;
    case 'slot':
      return slot(draft, body);
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
 * @param target for an input `move` the definition that it names; without it nothing happens
 */
export function decision(definition: Definition, state: RunState, input: Input, target?: Definition): Decision {
  const { body, at } = input;
  const draft = new Draft(body.kind === 'move' ? (target ?? definition) : definition, state, at);
  if (body.kind === 'move') moveRun(draft, definition, body);
  else apply(draft, body);
  if (draft.fans.size > 0 && draft.state.closing === undefined) advance(draft);
  return { transitions: draft.transitions, after: draft.state };
}

/** The transitions of {@link decision}. */
export function decide(
  definition: Definition,
  state: RunState,
  input: Input,
  target?: Definition,
): readonly Transition[] {
  return decision(definition, state, input, target).transitions;
}
