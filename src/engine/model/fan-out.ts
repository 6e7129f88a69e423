/**
 * Steps over a list: each item is a step of its own (`<step>#<n>`), so many of them under way at once.
 *
 * Job: begin items, end the step. Boundary: the list is not in the log; it is worked out again from what the step needs, which
 * does not change any more once it has begun. Invariants (docs/architecture.md):
 *   I1 items begin in the order of the list, at most `maxParallel` are open at once, and an entry begins a bounded number of
 *      them, so that it fits into a message;
 *   I2 while the step is open, an item is open or the timer `items/…` is set: it always goes on;
 *   I3 an item that completed is not begun again, unless its input has become another or the step was compensated;
 *   I4 what an input costs does not grow with the number of items.
 */
import {
  compileExpression,
  evaluateCondition,
  ITEM_VARIABLES,
  type Json,
  MillraceError,
  STEP_VARIABLES,
} from '../../kernel/index.ts';
import { tooDeep } from './child-ref.ts';
import { failStep } from './closing.ts';
import type { ForEachDefinition, StepDefinition } from './definition.ts';
import { findStep, needsOf } from './definition-index.ts';
import type { Draft } from './draft.ts';
import { startAttempt } from './start-attempt.ts';
import { type ItemsState, itemName, itemOf, type StepState, stepOf } from './state.ts';
import { expressionFailure, variables } from './variables.ts';

/** More would be another kind of system: each item is a step with its messages. */
export const MAX_ITEMS = 10_000;
/** What one entry may begin: with it and the rest of the entry a message stays well below the usual limit of 1 MiB. */
const BEGUN_AT_ONCE = 100;
const BYTES_AT_ONCE = 256 * 1024;
const SKIPPED_AT_ONCE = 1_000;

export interface FanOutDefinition extends StepDefinition {
  readonly forEach: ForEachDefinition;
}

export function isFanOut(step: StepDefinition): step is FanOutDefinition {
  return step.forEach !== undefined;
}

/** `true` when the condition is one of each item, not of the whole step. */
export function isOfItems(when: string): boolean {
  const { uses } = compileExpression(when, ITEM_VARIABLES);
  return uses('item') || uses('index');
}

/** The list and what its expressions see. */
interface Source {
  readonly list: readonly Json[];
  readonly variables: Readonly<Record<string, Json>>;
}

/** By the state of the step that was fanned out, which no input of an item changes: working it out costs the whole list. */
const sources = new WeakMap<StepState, Source>();

/** @throws MillraceError MR_EXPRESSION when the expression fails or gives no list */
function sourceOf(draft: Draft, step: FanOutDefinition): Source {
  const state = stepOf(draft.state, step.name);
  let source = sources.get(state);
  if (source === undefined) sources.set(state, (source = readSource(draft, step)));
  return source;
}

function readSource(draft: Draft, step: FanOutDefinition): Source {
  const { items } = step.forEach;
  // Only of what it needs: other steps may complete while items are under way, and the list must not change with them.
  const visible = variables(draft, needsOf(draft.definition, step.name));
  const list = compileExpression(items, STEP_VARIABLES).evaluate(visible);
  if (Array.isArray(list)) return { list, variables: visible };
  throw new MillraceError('MR_EXPRESSION', `forEach.items: ${items} gives ${typeName(list)}, not a list`, {
    hint: 'it must give a list, for example payload.orders',
  });
}

function typeName(value: Json): string {
  return value === null ? 'null' : typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/**
 * Begins the step.
 * @throws MillraceError MR_EXPRESSION
 */
export function fanOut(draft: Draft, step: FanOutDefinition, attempt: number): void {
  const { action, forEach, name } = step;
  const source = readSource(draft, step);
  const count = source.list.length;
  if (count > MAX_ITEMS) return failStep(draft, step, attempt, tooMany(count));
  const refused = action.kind === 'child' ? tooDeep(draft.state, action.workflow) : undefined;
  if (refused !== undefined) return failStep(draft, step, attempt, refused);
  const collect = forEach.onFailure === 'collect' ? ({ collect: true } as const) : {};
  draft.emit({ type: 'StepFannedOut', step: name, attempt, count, ...collect });
  sources.set(stepOf(draft.state, name), source);
  draft.fans.set(name, []);
}

function tooMany(count: number) {
  const message = `forEach gives ${count} items; at most ${MAX_ITEMS} are possible`;
  const hint = 'make the items larger (a page of rows each), or give parts of the list to child runs';
  return { code: 'MR_TOO_MANY_ITEMS', message, hint, retryable: false, lost: false };
}

/** Goes on with every step whose items have changed; false when there was none. */
export function moveFanOuts(draft: Draft): boolean {
  const [next] = draft.fans;
  if (next === undefined) return false;
  const [name, resumed] = next;
  const step = findStep(draft.definition, name);
  if (step !== undefined && isFanOut(step) && itemsUnderWay(draft, name)) new Mover(draft, step).move(resumed);
  draft.fans.delete(name); // behind the move, whose own skips and failures it has seen
  return true;
}

function itemsUnderWay({ state }: Draft, name: string): boolean {
  const { status, items } = stepOf(state, name);
  return status === 'running' && items !== undefined;
}

/** Begins what may begin now of one step, within the bounds of one entry. */
class Mover {
  readonly #draft: Draft;
  readonly #step: FanOutDefinition;
  readonly #attempt: number;
  readonly #when: string | undefined;
  #begun = 0;
  #bytes = 0;
  #skipped = 0;

  constructor(draft: Draft, step: FanOutDefinition) {
    this.#draft = draft;
    this.#step = step;
    this.#attempt = stepOf(draft.state, step.name).attempt;
    this.#when = step.when !== undefined && isOfItems(step.when) ? step.when : undefined;
  }

  get #items(): ItemsState {
    const items = this.#draft.state.items?.[this.#step.name];
    if (items === undefined) throw new MillraceError('MR_INTERNAL', `step "${this.#step.name}" has no items`);
    return items;
  }

  /** `true` while the step goes on; an item that fails may have ended the run. */
  get #goesOn(): boolean {
    const { status, closing } = this.#draft.state;
    return status === 'running' && closing === undefined && itemsUnderWay(this.#draft, this.#step.name);
  }

  get #hasRoom(): boolean {
    return this.#begun < BEGUN_AT_ONCE && this.#bytes < BYTES_AT_ONCE && this.#skipped < SKIPPED_AT_ONCE;
  }

  /** @param resumed items that a person has let go on: they had begun */
  move(resumed: readonly number[]): void {
    for (const n of resumed) if (this.#goesOn) this.#begin(n);
    let n = this.#items.next;
    const { count } = this.#items;
    while (n <= count && this.#goesOn && this.#hasRoom && this.#items.open < this.#step.forEach.maxParallel) {
      this.#begin(n);
      n++;
    }
    if (!this.#goesOn || this.#items.open > 0) return;
    if (n > count) return this.#complete();
    this.#draft.setTimer({ kind: 'items', step: itemName(this.#step.name, n), attempt: this.#attempt }, 0);
  }

  #complete(): void {
    const { name, compensate } = this.#step;
    const undo = compensate === undefined ? {} : ({ undo: true } as const);
    this.#draft.emit({ type: 'StepCompleted', step: name, attempt: this.#attempt, output: null, ...undo });
  }

  #begin(n: number): void {
    const draft = this.#draft;
    const name = itemName(this.#step.name, n);
    const before = itemOf(draft.state, this.#step.name, n);
    const attempt = (before?.attempt ?? 0) + 1;
    const item = findStep(draft.definition, name);
    if (item === undefined) return;
    let input: Json | undefined;
    try {
      input = this.#inputOf(n);
    } catch (error) {
      return failStep(draft, item, attempt, expressionFailure(error));
    }
    if (input === undefined) {
      this.#skipped++;
      return draft.emit({ type: 'StepSkipped', step: name, reason: `when: ${this.#when ?? ''}` });
    }
    const text = JSON.stringify(input);
    if (before?.status === 'completed' && JSON.stringify(before.input) === text) return;
    this.#begun++;
    this.#bytes += text.length;
    startAttempt(draft, item, attempt, input);
  }

  /**
   * undefined: its condition is false.
   * @throws MillraceError MR_EXPRESSION
   */
  #inputOf(n: number): Json | undefined {
    const { list, variables: visible } = sourceOf(this.#draft, this.#step);
    const item = list[n - 1] ?? null;
    const index = n - 1;
    const vars = { ...visible, item, index };
    if (this.#when !== undefined && !evaluateCondition(compileExpression(this.#when, ITEM_VARIABLES), vars))
      return undefined;
    if (this.#step.with === undefined) return { item, index };
    const members = Object.entries(this.#step.with).map(
      ([member, source]) => [member, compileExpression(source, ITEM_VARIABLES).evaluate(vars)] as const,
    );
    return Object.fromEntries(members);
  }
}
