/** The items of a run's fan-outs under change: see state-draft.ts. Internal to the model. */
import type { Json } from '../../kernel/index.ts';
import type { Failure } from './inputs.ts';
import { ITEMS_PER_CHUNK, type ItemsState, itemName, pendingStep, type StepState, type StepStatus } from './state.ts';
import { type Mutable, retriedStep } from './step-draft.ts';

const COUNTED: Readonly<Record<StepStatus, 'open' | 'completed' | 'failed' | 'skipped' | 'cancelled' | undefined>> = {
  pending: undefined,
  scheduled: 'open',
  running: 'open',
  waiting: 'open',
  backoff: 'open',
  paused: 'open',
  completed: 'completed',
  failed: 'failed',
  skipped: 'skipped',
  cancelled: 'cancelled',
  compensated: undefined,
};

/** One fan-out's items; what is changed is a copy made here, of the chunk that it lies in. */
export class ItemsDraft {
  readonly #step: string;
  readonly #chunks: (readonly StepState[])[];
  readonly #own = new Map<number, StepState[]>();
  readonly state: Mutable<ItemsState>;

  constructor(step: string, before: ItemsState) {
    this.#step = step;
    this.#chunks = [...before.chunks];
    this.state = { ...before, chunks: this.#chunks };
  }

  get(n: number): StepState {
    const index = n - 1;
    const known = this.#chunks[Math.floor(index / ITEMS_PER_CHUNK)]?.[index % ITEMS_PER_CHUNK];
    return known ?? pendingStep(itemName(this.#step, n));
  }

  put(n: number, item: StepState): void {
    const was = COUNTED[this.get(n).status];
    const is = COUNTED[item.status];
    if (n <= this.state.count) {
      if (was !== undefined) this.state[was]--;
      if (is !== undefined) this.state[is]++;
    }
    if (n >= this.state.next && item.status !== 'pending') this.state.next = n + 1;
    const index = n - 1;
    const place = Math.floor(index / ITEMS_PER_CHUNK);
    for (let before = Math.max(0, this.#chunks.length - 1); before < place; before++)
      this.#fill(before, ITEMS_PER_CHUNK);
    this.#fill(place, index % ITEMS_PER_CHUNK)[index % ITEMS_PER_CHUNK] = item;
  }

  /** The chunk, to be changed, with at least so many items in it. */
  #fill(place: number, length: number): StepState[] {
    let chunk = this.#own.get(place);
    if (chunk === undefined) {
      chunk = [...(this.#chunks[place] ?? [])];
      this.#own.set(place, chunk);
      this.#chunks[place] = chunk;
    }
    while (chunk.length < length) {
      chunk.push(pendingStep(itemName(this.#step, place * ITEMS_PER_CHUNK + chunk.length + 1)));
    }
    return chunk;
  }
}

/**
 * The items of a step that is fanned out now, perhaps for a further time: what was completed stays so until it is begun
 * again, unless the step was compensated meanwhile; everything else is to be done; attempts go on counting.
 */
export function fannedOut(before: ItemsState | undefined, count: number, collect: boolean, undone = 0): ItemsState {
  const keeps = (before?.undone ?? 0) === undone;
  const chunks = (before?.chunks ?? []).map((chunk) =>
    chunk.map((item) => (keeps && item.status === 'completed' ? item : retriedStep(item))),
  );
  let completed = 0;
  for (const [place, chunk] of chunks.entries()) {
    for (const [index, { status }] of chunk.entries()) {
      if (status === 'completed' && place * ITEMS_PER_CHUNK + index < count) completed++;
    }
  }
  const numbers = { next: 1, open: 0, completed, failed: 0, skipped: 0, cancelled: 0 };
  return { count, ...(collect ? { collect: true } : {}), ...(undone > 0 ? { undone } : {}), ...numbers, chunks };
}

function outcome({ status, output = null, error }: StepState): Json {
  if (status === 'completed') return { ok: true, output };
  if (status === 'skipped') return { ok: true, output: null, skipped: true };
  const { code, message }: Pick<Failure, 'code' | 'message'> = error ?? { code: 'MR_CANCELLED', message: 'cancelled' };
  return { ok: false, error: { code, message } };
}

/** The output of a fan-out: its items' outputs, in their order; of each whether it is `ok` where failures are collected. */
export function outputsOf({ count, collect, chunks }: ItemsState): Json[] {
  const list: Json[] = [];
  for (const chunk of chunks) {
    for (const item of chunk) {
      if (list.length === count) return list;
      list.push(collect === true ? outcome(item) : (item.output ?? null));
    }
  }
  while (list.length < count) list.push(collect === true ? outcome(pendingStep('')) : null);
  return list;
}
