/** The reference for the items of fan-outs: plain, counted anew each time. See reference-evolve.ts. */
import { type ItemsState, newRun, type StepState, stepOf } from '../../src/engine/index.ts';
import type { Json } from '../../src/kernel/index.ts';

/** The items, counted from scratch. */
export function itemsOf(
  step: string,
  all: readonly StepState[],
  { count, next, collect, undone }: Pick<ItemsState, 'count' | 'next' | 'collect' | 'undone'>,
): ItemsState {
  const counted = all.slice(0, count);
  const having = (...statuses: readonly StepState['status'][]): number =>
    counted.filter(({ status }) => statuses.includes(status)).length;
  const chunks: StepState[][] = [];
  all.forEach((item, index) => {
    if (index % 128 === 0) chunks.push([]);
    chunks.at(-1)?.push(item ?? stepOf(newRun('', ''), `${step}#${index + 1}`));
  });
  return {
    count,
    ...(collect === undefined ? {} : { collect }),
    ...(undone === undefined ? {} : { undone }),
    next,
    open: having('scheduled', 'running', 'waiting', 'backoff', 'paused'),
    completed: having('completed'),
    failed: having('failed'),
    skipped: having('skipped'),
    cancelled: having('cancelled'),
    chunks,
  };
}

/** The outputs of all items, in their order. */
export function listOf({ count, collect, chunks }: ItemsState): Json[] {
  const all = chunks.flat();
  return Array.from({ length: count }, (_, i): Json => {
    const { status, output = null, error } = all[i] ?? { status: 'pending' };
    if (!collect) return output;
    if (status === 'completed') return { ok: true, output };
    if (status === 'skipped') return { ok: true, output: null, skipped: true };
    const { code, message } = error ?? { code: 'MR_CANCELLED', message: 'cancelled' };
    return { ok: false, error: { code, message } };
  });
}
