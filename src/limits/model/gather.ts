/**
 * Gathering: messages of a trigger that start one run together (a batch), or of which the last starts one (debounced). It lives in
 * the same log as slots and rates do, under a limit of its own: `gather:<workflow>:<trigger>`. Internal to the model.
 *
 *   Q6 each message is gathered once and starts, or is part of, exactly one run; of debounced ones the last counts;
 *   Q7 what is gathered starts its run when it is due: a timer is set as long as something is gathered.
 */
import type { Json } from '../../kernel/index.ts';
import type { Collect, Gathered, GatheredItem } from './gathered.ts';
import type { LimitTransition } from './transitions.ts';

/** Ids that are remembered of a key. */
const SEEN = 200;
/** Bytes of payloads that start a run together: its start must fit into one message. */
const MOST_BYTES = 200_000;

/** The state after a message. */
export function gathered(before: Gathered | undefined, t: Extract<LimitTransition, { type: 'Collected' }>): Gathered {
  const { item, at, workflow, debounce, batch } = t;
  const open = before !== undefined && before.items.length > 0 ? before : undefined;
  return {
    workflow,
    ...(debounce === undefined ? {} : { debounce }),
    ...(batch === undefined ? {} : { batch }),
    items: debounce === undefined ? [...(open?.items ?? []), item] : [item],
    firstAt: open?.firstAt ?? at,
    lastAt: at,
    seen: [...(before?.seen ?? []), item.id].slice(-SEEN),
  };
}

/** When what is gathered starts its run, whatever else comes; undefined when nothing is. */
export function dueAt(state: Gathered | undefined): number | undefined {
  if (state === undefined || state.items.length === 0) return undefined;
  const { debounce, batch, firstAt, lastAt } = state;
  if (debounce === undefined) return firstAt + (batch?.waitMs ?? 0);
  const { waitMs, maxMs = Number.POSITIVE_INFINITY } = debounce;
  return Math.min(lastAt + waitMs, firstAt + maxMs);
}

/** A batch that is full by number or by bytes. */
export function isFull({ batch, items }: Gathered): boolean {
  if (batch === undefined || items.length === 0) return false;
  return items.length >= batch.size || bytesOf(items) >= MOST_BYTES;
}

/** `true` when the message would make the batch too large to be started. */
export function overflows(state: Gathered | undefined, { start, debounce }: Collect): boolean {
  if (state === undefined || state.items.length === 0 || debounce !== undefined) return false;
  return bytesOf(state.items) + JSON.stringify(start).length > MOST_BYTES;
}

function bytesOf(items: readonly GatheredItem[]): number {
  return items.reduce((sum, { start }) => sum + JSON.stringify(start.payload).length, 0);
}

/** The run that what is gathered starts. */
export function flushed({
  workflow,
  items,
  batch,
}: Gathered): Extract<LimitTransition, { type: 'Flushed' }> | undefined {
  const first = items[0];
  const last = items.at(-1);
  if (first === undefined || last === undefined) return undefined;
  if (batch === undefined) return { type: 'Flushed', workflow, runId: last.runId, count: 1, start: last.start };
  // A batch has no one message that could be kept or delivered again; its payload is in its own journal.
  const { source: _source, ...start } = first.start;
  const payload: Json = items.map((item) => item.start.payload);
  const { digest } = last.start;
  return { type: 'Flushed', workflow, runId: first.runId, count: items.length, start: { ...start, digest, payload } };
}
