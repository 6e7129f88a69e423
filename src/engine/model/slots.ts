/**
 * Flow control as a run sees it: it asks its limits one after another, begins when it has a slot of each, and gives them
 * back with its end. A step of a limited queue does the same for each of its attempts. What a limit decides is in
 * src/limits. Internal to the model.
 */
import { compileExpression, type Json, MillraceError, START_VARIABLES } from '../../kernel/index.ts';
import { advance } from './advance.ts';
import { cancelRun } from './closing.ts';
import type { Command } from './commands.ts';
import type { Definition, QueueLimit } from './definition.ts';
import { findStep } from './definition-index.ts';
import type { Draft } from './draft.ts';
import type { BodyOf } from './inputs.ts';
import { handedOut, limitOf } from './start-attempt.ts';
import { isEnded, isOut, type RunState, stepOf } from './state.ts';
import { expressionFailure } from './variables.ts';

/** Where nobody said. */
export const DEFAULT_PRIORITY = 3;

/** A started or retried run begins, or waits for its slots. */
export function beginRun(draft: Draft): void {
  const { limits } = draft.definition;
  if (limits === undefined || limits.length === 0) return admit(draft);
  try {
    const { payload } = draft.state;
    draft.emit({ type: 'RunQueued', limits: limits.map(({ limit, key }) => ({ limit, key: keyOf(key, payload) })) });
  } catch (error) {
    draft.emit({ type: 'RunFailed', error: expressionFailure(error) });
  }
}

function admit(draft: Draft): void {
  const { timeoutMs } = draft.definition;
  if (timeoutMs !== undefined) draft.setTimer({ kind: 'run', retries: draft.state.retries }, timeoutMs);
  advance(draft);
}

/** @throws MillraceError MR_EXPRESSION */
function keyOf(source: string | undefined, payload: Json): string {
  if (source === undefined) return '';
  const key = compileExpression(source, START_VARIABLES).evaluate({ payload });
  return typeof key === 'string' ? key : JSON.stringify(key);
}

/**
 * The priority that the definition gives a run; undefined when it says nothing.
 * @throws MillraceError MR_EXPRESSION when it gives no number
 */
export function priorityOf({ priority }: Definition, payload: Json): number | undefined {
  if (priority === undefined) return undefined;
  const value = compileExpression(priority, START_VARIABLES).evaluate({ payload });
  if (typeof value === 'number') return Math.min(5, Math.max(1, Math.round(value)));
  throw new MillraceError('MR_EXPRESSION', `priority: ${priority} gives ${JSON.stringify(value)}, which is no number`, {
    hint: 'a priority is a number from 1 (first) to 5',
  });
}

/** The limit that a queued run has asked and that has not answered yet. */
function asked(state: RunState): { readonly limit: string; readonly key: string } | undefined {
  if (state.status !== 'queued') return undefined;
  return state.waitsFor?.[state.slots?.length ?? 0];
}

/** A limit's word. */
export function slot(draft: Draft, body: BodyOf<'slot'>): void {
  if (body.step !== undefined) return stepSlot(draft, body, body.step);
  const { state } = draft;
  if (isEnded(state) || body.ask !== state.retries) return;
  const { limit, key } = body.slot;
  const waits = asked(state);
  const isAsked = waits?.limit === limit && waits.key === key;
  if (body.verdict === 'granted') {
    if (!isAsked) return;
    draft.emit({ type: 'SlotGranted', slot: body.slot });
    if (asked(draft.state) !== undefined) return;
    draft.emit({ type: 'RunAdmitted' });
    return admit(draft);
  }
  const holds = state.slots?.some((one) => one.limit === limit && one.key === key) ?? false;
  if (isAsked || holds) cancelRun(draft, { reason: body.reason ?? `limit ${limit}`, by: `limit ${limit}` });
}

function stepSlot(draft: Draft, { slot: granted, verdict, ask }: BodyOf<'slot'>, name: string): void {
  const step = findStep(draft.definition, name);
  const current = stepOf(draft.state, name);
  if (step === undefined || verdict !== 'granted' || current.status !== 'scheduled' || current.attempt !== ask) return;
  if (draft.state.status !== 'running' || draft.state.closing !== undefined) return;
  if (limitOf(step)?.limit !== granted.limit || current.slot !== undefined) return;
  draft.emit({ type: 'SlotGranted', slot: granted, step: name, attempt: ask });
  handedOut(draft, step, ask);
}

/** Asks the next limit that the run waits for. */
export function askNext(definition: Definition, state: RunState): Command[] {
  const next = asked(state);
  const policy = definition.limits?.find(({ limit }) => limit === next?.limit)?.policy;
  if (next === undefined || policy === undefined) return [];
  const { priority = DEFAULT_PRIORITY, retries } = state;
  return [{ kind: 'slot.ask', ...next, policy, priority, ask: retries }];
}

export function askForAttempt(limit: QueueLimit, state: RunState, step: string, attempt: number): Command {
  const { priority = DEFAULT_PRIORITY } = state;
  return { kind: 'slot.ask', limit: limit.limit, key: '', policy: limit.policy, priority, ask: attempt, step };
}

/** What a run that ends has, or has asked for. */
export function freeAll({ limits }: Definition, before: RunState): Command[] {
  const counts = (id: string): boolean => limits?.find(({ limit }) => limit === id)?.policy.slots !== undefined;
  const held = (before.slots ?? []).filter(({ limit }) => counts(limit)); // of a mere rate nothing is held
  const given = held.map(({ limit, key }): Command => ({ kind: 'slot.free', limit, key, ask: before.retries }));
  return [...given, ...freeAsked(before)];
}

/** Takes back what has not been answered. */
export function freeAsked(before: RunState): Command[] {
  const waits = asked(before);
  return waits === undefined ? [] : [{ kind: 'slot.free', ...waits, ask: before.retries }];
}

/** What an attempt that ends has, or has asked for. */
export function freeAttempt(definition: Definition, step: string, attempt: number): Command[] {
  const found = findStep(definition, step);
  const limit = found === undefined ? undefined : limitOf(found);
  return limit === undefined ? [] : [{ kind: 'slot.free', limit: limit.limit, key: '', ask: attempt, step }];
}

/** `true` while whoever asked still waits for the answer. */
export function stillAsks(command: Extract<Command, { kind: 'slot.ask' }>, now: RunState): boolean {
  if (command.step !== undefined) {
    const step = stepOf(now, command.step);
    return isOut(step) && step.attempt === command.ask && step.slot === undefined;
  }
  const waits = asked(now);
  return now.retries === command.ask && waits?.limit === command.limit && waits.key === command.key;
}

/** `true` while the run or the attempt has a right to the slot: what it was granted for has not ended. */
export function keepsSlot(now: RunState, of: { readonly step?: string | undefined; readonly ask: number }): boolean {
  if (isEnded(now) || now.status === 'new') return false;
  if (of.step === undefined) return now.retries === of.ask;
  const step = stepOf(now, of.step);
  return isOut(step) && step.attempt === of.ask;
}
