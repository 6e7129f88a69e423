/** The queues of declared steps: who takes a task, and what becomes of one whose worker dies. Pure. */
import type { CancelMessage, TaskMessage } from '../engine/index.ts';
import { handlerToken } from '../kernel/index.ts';
import type { HandlerRunner, TaskDelivery } from '../worker/index.ts';
import type { VirtualClock } from './clock.ts';

interface Task {
  readonly queue: string;
  readonly message: TaskMessage;
  readonly headers: Readonly<Record<string, string>>;
  readonly seq: number;
  deliveries: number;
  /** Who has it; undefined while it waits. */
  holder: string | undefined;
}

interface Taker {
  readonly client: string;
  readonly runner: HandlerRunner;
  readonly ackWaitMs: number;
}

const encoder = new TextEncoder();

export class TaskQueues {
  readonly #clock: VirtualClock;
  readonly #tasks = new Map<number, Task>();
  readonly #ids = new Set<string>();
  readonly #takers = new Map<string, Taker>();
  #seq = 0;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  /** Stores a task; one of a known id is stored once. */
  store(queue: string, message: TaskMessage, headers: Readonly<Record<string, string>>): void {
    const id = `${message.workflow}:${message.runId}:${message.step}:${message.attempt}`;
    if (this.#ids.has(id)) return;
    this.#ids.add(id);
    const seq = ++this.#seq;
    this.#tasks.set(seq, { queue, message, headers, seq, deliveries: 0, holder: undefined });
    this.pump();
  }

  /** A worker begins to take the tasks of a handler. */
  attach(queue: string, handler: string, taker: Taker): void {
    this.#takers.set(keyOf(queue, handler), taker);
    this.pump();
  }

  /** Tells whoever holds the attempt to stop. */
  cancel(key: string, cancel: Pick<CancelMessage, 'reason' | 'graceMs'>): void {
    for (const { runner } of this.#takers.values()) runner.cancel(key, cancel);
  }

  /** Tasks that wait for a handler that nobody has. */
  get orphans(): readonly TaskMessage[] {
    return [...this.#tasks.values()]
      .filter(({ queue, message }) => !this.#takers.has(keyOf(queue, message.handler)))
      .map(({ message }) => message);
  }

  /** A worker died: after the ack wait its tasks go to another. */
  gone(client: string): void {
    for (const [key, { client: owner, ackWaitMs }] of this.#takers) {
      if (owner !== client) continue;
      this.#takers.delete(key);
      this.#clock.after(ackWaitMs, () => this.#free(client));
    }
  }

  #free(client: string): void {
    for (const task of this.#tasks.values()) if (task.holder === client) task.holder = undefined;
    this.pump();
  }

  /** Hands out what waits to whoever has room. */
  pump(): void {
    for (const task of this.#tasks.values()) {
      const taker = this.#takers.get(keyOf(task.queue, task.message.handler));
      if (task.holder !== undefined || taker === undefined || taker.runner.free === 0) continue;
      task.holder = taker.client;
      task.deliveries++;
      taker.runner.deliver(this.#delivery(task, taker.client));
    }
  }

  #delivery(task: Task, client: string): TaskDelivery {
    const mine = (): boolean => task.holder === client;
    const done = (): void => {
      if (!mine()) return;
      this.#tasks.delete(task.seq);
      this.pump();
    };
    return {
      data: encoder.encode(JSON.stringify(task.message)),
      headers: task.headers,
      subject: `task.${keyOf(task.queue, task.message.handler)}`,
      seq: task.seq,
      deliveries: task.deliveries,
      ack: done,
      term: done,
      working: () => undefined, // only a death makes an ack wait pass here
      nak: (delayMs = 0) => {
        if (!mine()) return;
        this.#clock.after(delayMs, () => {
          if (!mine()) return;
          task.holder = undefined;
          this.pump();
        });
      },
    };
  }
}

function keyOf(queue: string, handler: string): string {
  return `${queue}.${handlerToken(handler)}`;
}
