/** Time that moves when it is told to. Pure. */
import type { Clock } from '../kernel/index.ts';

interface Alarm {
  readonly at: number;
  /** Order among alarms of one time. */
  readonly order: number;
  /** Whose it is: it goes when its process dies. */
  readonly owner: string;
  readonly then: () => void;
}

/** A clock, its timers, and what is due next. */
export class VirtualClock implements Clock {
  #now: number;
  #order = 0;
  readonly #alarms = new Set<Alarm>();

  /** @param from ms since the epoch */
  constructor(from: number) {
    this.#now = from;
  }

  now(): number {
    return this.#now;
  }

  /** Calls back after `ms`, once; gives the way to call it off. */
  after(ms: number, then: () => void, owner = ''): () => void {
    const alarm: Alarm = { at: this.#now + Math.max(0, ms), order: this.#order++, owner, then };
    this.#alarms.add(alarm);
    return () => void this.#alarms.delete(alarm);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason);
      const stop = this.after(ms, resolve);
      signal?.addEventListener('abort', () => {
        stop();
        reject(signal.reason);
      });
    });
  }

  /** Takes a process's timers away. */
  drop(owner: string): void {
    for (const alarm of this.#alarms) if (alarm.owner === owner) this.#alarms.delete(alarm);
  }

  /** When something is due next, ms since the epoch; undefined when nothing is. */
  get next(): number | undefined {
    let next: number | undefined;
    for (const { at } of this.#alarms) if (next === undefined || at < next) next = at;
    return next;
  }

  /** Moves time on, never back, and rings one alarm that is due then; false when none is. */
  ring(to: number): boolean {
    this.#now = Math.max(this.#now, to);
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) {
      if (alarm.at > this.#now) continue;
      if (first === undefined || alarm.at < first.at || (alarm.at === first.at && alarm.order < first.order))
        first = alarm;
    }
    if (first === undefined) return false;
    this.#alarms.delete(first);
    first.then();
    return true;
  }
}
