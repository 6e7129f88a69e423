/**
 * What an execution does when it is not alone with its log: it reads what others wrote, takes it in, or lets the run go.
 * Boundary: reads the log and nothing else. F7 is here.
 */
import type { StoredEntry } from '../engine/index.ts';
import { MillraceError } from '../kernel/index.ts';
import type { Execution } from './execution.ts';

const MAX_CONFLICTS = 100;

export class Fence {
  readonly #execution: Execution;
  #conflicts = 0;
  /** Others' entries up to this sequence have been taken in. */
  #readTo = 0;

  constructor(execution: Execution) {
    this.#execution = execution;
  }

  stored(): void {
    this.#conflicts = 0;
  }

  /** An append was refused: the log has more than we know. */
  async conflict(): Promise<void> {
    const execution = this.#execution;
    try {
      if (++this.#conflicts > MAX_CONFLICTS) {
        throw new MillraceError('MR_CONFLICT', `${MAX_CONFLICTS} collisions in a row`);
      }
      const last = await this.#readOn();
      if (!execution.isOver) execution.tail.again(last);
    } catch (error) {
      execution.failed(error);
    }
  }

  /** Another process says that it wrote something for us. */
  async look(): Promise<void> {
    const { tail } = this.#execution;
    if (this.#execution.isOver || tail.isAppending) return; // the append will find it
    const before = tail.lastEntry;
    try {
      const last = await this.#readOn();
      if (!this.#execution.isOver && !tail.isAppending && tail.lastEntry === before) tail.lastEntry = last;
    } catch {
      // Only a hint: the next append finds what this could not.
    }
  }

  /** Takes in what others wrote behind our last entry; gives the sequence of the log's end. */
  async #readOn(): Promise<number> {
    const execution = this.#execution;
    const after = execution.tail.lastEntry;
    const entries = await execution.ports.entries(execution.run);
    if (execution.isOver) return after;
    const newer = entries.filter(({ seq }) => seq > after && seq > this.#readTo);
    const foreign = newer.find((entry) => this.#isForeign(entry));
    if (foreign !== undefined) execution.abandon({ by: foreign });
    else {
      for (const entry of newer) {
        this.#readTo = entry.seq;
        for (const t of entry.transitions) {
          if (t.type === 'SignalReceived') execution.waits.signal(t.name, t.payload);
          else if (t.type === 'TimerFired') execution.waits.fired(t.timer);
        }
      }
    }
    return Math.max(after, this.#readTo);
  }

  /** F7. */
  #isForeign({ transitions }: StoredEntry): boolean {
    return transitions.some((t) => {
      if (t.type === 'RunStarted' || t.type === 'RunClaimed') return t.worker !== this.#execution.worker;
      return t.type === 'RunCompleted' || t.type === 'RunFailed' || t.type === 'RunCancelled';
    });
  }
}
