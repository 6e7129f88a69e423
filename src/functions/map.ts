/**
 * One step, or one child run, per item of a list.
 *
 * Job: ask for the items' operations in the order of the list, so many at a time, and put their results in its place. Boundary:
 * each item is an operation like any other, recorded by itself: what is here needs no record and no replay of its own.
 */
import { MillraceError } from '../kernel/index.ts';
import { StepError } from './errors.ts';
import type { Runtime } from './runtime.ts';
import { runStep } from './steps.ts';
import type { Abortable, ItemResult, MapOptions, StepAttempt } from './types.ts';

const MAX_ITEMS = 10_000;
const DEFAULT_PARALLEL = 10;

type Run<I, T> = (item: I, attempt: StepAttempt, index: number) => T | PromiseLike<T>;
/** A workflow, which is no function itself. */
interface Target {
  readonly name: string;
  readonly run?: unknown;
}

/** See {@link Context.map}. */
export async function runMap<I, T>(
  execution: Runtime,
  name: string,
  items: readonly I[],
  each: Run<I, T> | Target,
  options: MapOptions,
): Promise<T[] | ItemResult<T>[]> {
  const { maxParallel = DEFAULT_PARALLEL, onFailure = 'fail' } = options;
  if (items.length > MAX_ITEMS) {
    throw new MillraceError('MR_USAGE', `"${name}" has ${items.length} items, and may have ${MAX_ITEMS}`, {
      hint: 'map over parts of the list in child runs, or continue as new in between',
    });
  }
  if (!Number.isInteger(maxParallel) || maxParallel < 1) {
    throw new MillraceError('MR_USAGE', `maxParallel of "${name}" is ${maxParallel}`, { hint: 'give 1 or more' });
  }
  const ask = isRun(each)
    ? askStep<I, T>(execution, name, each, options)
    : askChild<I, T>(execution, name, each, options);
  return onFailure === 'fail'
    ? new Items<I, T>(items, maxParallel, ask).all()
    : new Items<I, T>(items, maxParallel, ask).settled();
}

/** What is done with each item. */
export type MapTarget = Run<unknown, unknown> | Target;

const isRun = <I, T>(each: Run<I, T> | Target): each is Run<I, T> => typeof each === 'function';

/** Asks for one item's operation; `abortable` is told how to give it up while it is under way. */
type Ask<I, T> = (item: I, index: number, abortable: (control: Abortable) => void) => Promise<T>;

function askStep<I, T>(execution: Runtime, name: string, run: Run<I, T>, options: MapOptions): Ask<I, T> {
  return (item, index, abortable) =>
    runStep(execution, name, (attempt) => run(item, attempt, index), options, abortable);
}

function askChild<I, T>(execution: Runtime, name: string, child: Target, { onClose }: MapOptions): Ask<I, T> {
  const options = { name, ...(onClose === undefined ? {} : { onClose }) };
  // The type is the child's own promise.
  return (item, _index, abortable) => execution.children.run(child, item, options, abortable) as Promise<T>;
}

class Items<I, T> {
  readonly #items: readonly I[];
  readonly #maxParallel: number;
  readonly #ask: Ask<I, T>;
  readonly #underWay = new Map<number, Abortable>();
  #next = 0;
  #busy = 0;
  #ended = 0;
  #over = false;

  constructor(items: readonly I[], maxParallel: number, ask: Ask<I, T>) {
    this.#items = items;
    this.#maxParallel = maxParallel;
    this.#ask = ask;
  }

  /** All results; the first failure gives up what is under way. */
  all(): Promise<T[]> {
    const results = new Array<T>(this.#items.length);
    return new Promise((resolve, reject) => {
      const failed = (_: number, error: unknown): void => {
        this.#over = true;
        reject(error);
        const [...rest] = this.#underWay.values();
        for (const control of rest) control.abort('another item failed');
      };
      this.#pump(
        (index, value) => void (results[index] = value),
        failed,
        () => resolve(results),
      );
    });
  }

  /** What became of each. Only an operation's failure is a result: another error is the code's own. */
  settled(): Promise<ItemResult<T>[]> {
    const results = new Array<ItemResult<T>>(this.#items.length);
    return new Promise((resolve, reject) => {
      const failed = (index: number, error: unknown): void => {
        if (error instanceof StepError) results[index] = { ok: false, error };
        else {
          this.#over = true;
          reject(error);
        }
      };
      this.#pump(
        (index, output) => void (results[index] = { ok: true, output }),
        failed,
        () => resolve(results),
      );
    });
  }

  #pump(
    gave: (index: number, value: T) => void,
    failed: (index: number, error: unknown) => void,
    done: () => void,
  ): void {
    const more = (): void => {
      while (!this.#over && this.#busy < this.#maxParallel && this.#next < this.#items.length) begin(this.#next++);
      if (!this.#over && this.#ended === this.#items.length) done();
    };
    const ended = (index: number): void => {
      this.#underWay.delete(index);
      this.#busy--;
      this.#ended++;
    };
    const begin = (index: number): void => {
      this.#busy++;
      this.#ask(this.#items[index] as I, index, (control) => this.#underWay.set(index, control)).then(
        (value) => {
          ended(index);
          if (this.#over) return;
          gave(index, value);
          more();
        },
        (error: unknown) => {
          ended(index);
          if (this.#over) return;
          failed(index, error);
          more();
        },
      );
    };
    more();
  }
}
