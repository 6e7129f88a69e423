/** react: the commands that follow from transitions. Live and after a crash the same entry gives the same commands. */
import type { Json } from '../../kernel/index.ts';
import { endingOf, isRunEnd } from './children.ts';
import type { Command } from './commands.ts';
import type { Definition } from './definition.ts';
import { findStep, indexOf } from './definition-index.ts';
import { stepsOut } from './evolve.ts';
import { TERMINAL_FLOW_STATES } from './inputs.ts';
import { reactSlots } from './react-slots.ts';
import { isUndo, itemAt, type RunState, stepOf, undoneBy } from './state.ts';
import { StateDraft } from './state-draft.ts';
import type { LogEntry, Transition } from './transitions.ts';

/**
 * What an effect of the step is keyed by: the same for all its attempts, and another one once the effect was compensated,
 * since whoever knows the key would take the work done again for a repetition of what was undone.
 */
function keyOf(state: RunState, step: string): string {
  const of = state.items === undefined ? step : (itemAt(step)?.step ?? step); // an item is compensated with its step
  const { undone = 0 } = stepOf(state, isUndo(of) ? undoneBy(of) : of);
  return undone === 0 ? `${state.runId}/${step}` : `${state.runId}/${step}~${undone}`;
}

function handOut(
  definition: Definition,
  state: RunState,
  t: Extract<Transition, { type: 'StepScheduled' }>,
): Command[] {
  const step = findStep(definition, t.step);
  if (step === undefined) return [];
  const { action } = step;
  if (action.kind === 'prefect') return [{ kind: 'reconcile', step: t.step, attempt: t.attempt }];
  if (t.child !== undefined) {
    return [{ kind: 'child', child: t.child, step: t.step, attempt: t.attempt, payload: t.input }];
  }
  if (action.kind !== 'worker' || action.limit !== undefined) return []; // handed out once it has its slot
  return taskOf(definition, state, t);
}

/** An attempt for a worker. */
function taskOf(
  definition: Definition,
  state: RunState,
  t: { readonly step: string; readonly attempt: number; readonly input: Json },
): Command[] {
  const step = findStep(definition, t.step);
  if (step?.action.kind !== 'worker') return [];
  const { action } = step;
  const { progress } = stepOf(state, t.step);
  return [
    {
      kind: 'task',
      queue: action.queue,
      handler: action.handler,
      step: t.step,
      attempt: t.attempt,
      input: t.input,
      idempotencyKey: keyOf(state, t.step),
      ...(step.timeoutMs === undefined ? {} : { timeoutMs: step.timeoutMs }),
      ...(step.heartbeatTimeoutMs === undefined ? {} : { heartbeatMs: step.heartbeatTimeoutMs }),
      ...(progress === undefined ? {} : { progress }),
    },
  ];
}

function flowHasEnded(state: RunState, name: string, attempt: number): boolean {
  const flow = stepOf(state, name).flows[attempt];
  return flow !== undefined && TERMINAL_FLOW_STATES.has(flow.state.type);
}

/**
 * Stops an attempt that is out: a worker is told, Prefect is reconciled unless its flow run has ended already, a child run is
 * ended unless it has or is to be left alone.
 */
function stop(definition: Definition, before: RunState, name: string, reason: string, kill = false): Command[] {
  const step = findStep(definition, name);
  const { status, attempt, child, ending, items } = stepOf(before, name);
  if (step === undefined || items !== undefined || (status !== 'scheduled' && status !== 'running')) return [];
  if (step.action.kind === 'worker') return [{ kind: 'task.cancel', step: name, attempt, reason }];
  if (step.action.kind === 'child') {
    const alone = child === undefined || ending !== undefined || child.onClose === 'abandon';
    return alone ? [] : [{ kind: 'child.close', child, reason, kill }];
  }
  if (step.action.kind !== 'prefect' || flowHasEnded(before, name, attempt)) return [];
  return [{ kind: 'reconcile', step: name, attempt }];
}

/** The attempts that are out have the grace time to end, and are told so. */
function askToStop(
  definition: Definition,
  before: RunState,
  { reason = 'the run is cancelled', graceMs }: Extract<Transition, { type: 'RunClosing' }>,
): Command[] {
  if (graceMs === undefined) return [];
  return stepsOut(before).flatMap(({ name }) =>
    stop(definition, before, name, reason).map((command) =>
      command.kind === 'task.cancel' ? { ...command, graceMs } : command,
    ),
  );
}

function stepEvent(step: string, event: string, data: Record<string, Json>): Command {
  return { kind: 'event', of: 'step', step, event, data };
}

function runEvent(event: string, data: Record<string, Json> = {}): Command {
  return { kind: 'event', of: 'run', event, data };
}

function startOf({ attempt, worker, startedAt }: Extract<Transition, { type: 'StepStarted' }>): Record<string, Json> {
  return startedAt === undefined ? { attempt, worker } : { attempt, worker, startedAt };
}

function reactStep(definition: Definition, before: RunState, t: Transition): Command[] {
  switch (t.type) {
    case 'StepScheduled':
      return [...handOut(definition, before, t), stepEvent(t.step, 'scheduled', { attempt: t.attempt })];
    case 'StepStarted':
      return [stepEvent(t.step, 'started', startOf(t))];
    case 'StepRetryScheduled':
      return [
        ...stop(definition, before, t.step, t.error.message),
        stepEvent(t.step, 'retrying', { attempt: t.attempt, error: { ...t.error } as Json, retryAt: t.retryAt }),
      ];
    case 'StepCompleted':
      return [stepEvent(t.step, 'completed', { attempt: t.attempt })];
    case 'StepFailed':
      return [
        ...stop(definition, before, t.step, t.error.message),
        stepEvent(t.step, 'failed', { attempt: t.attempt, error: { ...t.error } as Json }),
      ];
    case 'StepPaused':
      return [
        ...stop(definition, before, t.step, t.error.message),
        stepEvent(t.step, 'paused', { attempt: t.attempt, error: { ...t.error } as Json }),
      ];
    case 'StepResumed':
      return [stepEvent(t.step, 'resumed', t.by === undefined ? {} : { by: t.by })];
    case 'StepSkipped':
      return [stepEvent(t.step, 'skipped', { reason: t.reason })];
    case 'StepCancelled':
      return [
        ...stop(definition, before, t.step, t.reason, t.killed === true),
        stepEvent(t.step, 'cancelled', { attempt: t.attempt, reason: t.reason }),
      ];
    default:
      return [];
  }
}

function reactOne(definition: Definition, before: RunState, t: Transition): Command[] {
  switch (t.type) {
    case 'RunStarted':
      return [runEvent('started', { digest: t.digest })];
    case 'TimerSet':
      return [{ kind: 'timer', timer: t.timer, at: t.at }];
    case 'TimerCancelled':
      return [{ kind: 'timer.cancel', timer: t.timer }];
    case 'RunCompleted':
      return [runEvent('completed')];
    case 'RunFailed': {
      const keep: Command[] =
        definition.deadLetter && before.source !== undefined
          ? [{ kind: 'dead', error: t.error, source: before.source }]
          : [];
      return [...keep, runEvent('failed', { error: { ...t.error } as Json, step: t.step ?? null })];
    }
    case 'RunCancelled':
      return [runEvent('cancelled', { reason: t.reason, ...(t.killed === true ? { killed: true } : {}) })];
    case 'RunClosing':
      return [...askToStop(definition, before, t), runEvent('closing', { outcome: t.outcome })];
    case 'RunRetried':
      return [runEvent('retried', { steps: t.steps })];
    default:
      return reactStep(definition, before, t);
  }
}

/** What was before matters only where an attempt may have to be stopped, or the starting message kept. */
function needsState({ type }: Transition): boolean {
  return (
    type === 'StepRetryScheduled' ||
    type === 'StepFailed' ||
    type === 'StepPaused' ||
    type === 'StepCancelled' ||
    type === 'RunClosing' ||
    type === 'RunFailed'
  );
}

/** A child that ends says with what, which is what its steps gave. */
function tellsParent(before: RunState, [first]: readonly Transition[]): boolean {
  const parent = first?.type === 'RunStarted' ? first.parent : before.parent;
  return parent !== undefined && parent.detached !== true;
}

function toParent(definition: Definition, before: RunState, t: Transition): Command[] {
  const { parent } = before;
  if (parent === undefined || parent.detached === true || !isRunEnd(t)) return [];
  return [{ kind: 'parent', parent, ending: endingOf(definition, before, t) }];
}

/**
 * The commands of one log entry, in order.
 * @param before the state before the entry
 */
export function react(
  definition: Definition,
  before: RunState,
  entry: Pick<LogEntry, 'at' | 'transitions'>,
): readonly Command[] {
  const commands: Command[] = [];
  const { transitions } = entry;
  const tells = tellsParent(before, transitions);
  const draft = tells || transitions.some(needsState) ? new StateDraft(before) : undefined;
  for (const transition of transitions) {
    const state = draft?.state ?? before;
    for (const command of reactOne(definition, state, transition)) commands.push(command);
    if (tells) commands.push(...toParent(definition, state, transition));
    draft?.apply(transition, entry.at);
  }
  if (indexOf(definition).limited) commands.push(...reactSlots(definition, before, entry, taskOf));
  return commands;
}
