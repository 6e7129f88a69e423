/**
 * The reconcile queue in this process: for one controller without Redis, and for tests. Same contract as the BullMQ one
 * (test/contract/reconcile-queue.ts).
 *
 *   Q1 a key waits at most once; the earlier time wins;
 *   Q2 a key is never handled twice at once: one that is enqueued meanwhile is handled once more afterwards;
 *   Q3 the outcome alone decides on another look (requeue.ts).
 */
import type { ReconcileKey, ReconcileQueue } from '../../engine/index.ts';
import type { Clock } from '../../kernel/index.ts';
import type { Telemetry, TraceHeaders } from '../../telemetry/index.ts';
import { keyText } from '../key.ts';
import type { CheckedQueue } from './ports.ts';
import { type Handler, Requeue } from './requeue.ts';

interface Waiting {
  readonly key: ReconcileKey;
  readonly trace: TraceHeaders | undefined;
  readonly due: number;
}

type EnqueueOptions = Parameters<ReconcileQueue['enqueue']>[1];

/** A queue that lives and dies with the process. */
export function memoryQueue(clock: Clock, telemetry: Telemetry): CheckedQueue {
  return new MemoryQueue(clock, telemetry);
}

class MemoryQueue implements CheckedQueue {
  readonly #clock: Clock;
  readonly #requeue: Requeue;
  readonly #waiting = new Map<string, Waiting>();
  readonly #active = new Map<string, Promise<void>>();
  #consumer: { readonly handler: Handler; readonly concurrency: number } | undefined;
  #wakeUp = new AbortController();

  constructor(clock: Clock, telemetry: Telemetry) {
    this.#clock = clock;
    this.#requeue = new Requeue(telemetry);
  }

  async enqueue(key: ReconcileKey, options: EnqueueOptions = {}): Promise<void> {
    const text = keyText(key);
    const due = this.#clock.now() + (options.delayMs ?? 0);
    const known = this.#waiting.get(text);
    if (known !== undefined && known.due <= due) return;
    this.#waiting.set(text, { key, trace: options.trace ?? known?.trace, due });
    this.#pump();
  }

  async consume(handler: Handler, options: { readonly concurrency: number }) {
    this.#consumer = { handler, concurrency: options.concurrency };
    this.#pump();
    return {
      stop: async () => {
        this.#consumer = undefined;
        this.#wakeUp.abort();
        await Promise.all(this.#active.values());
      },
    };
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {
    this.#consumer = undefined;
    this.#wakeUp.abort();
    this.#waiting.clear();
    await Promise.all(this.#active.values());
  }

  /** Starts what is due and free, and sleeps until the next one is due. */
  #pump(): void {
    const consumer = this.#consumer;
    if (consumer === undefined) return;
    const now = this.#clock.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [text, waiting] of this.#waiting) {
      if (this.#active.size >= consumer.concurrency) break; // the end of one job pumps again
      if (this.#active.has(text)) continue;
      if (waiting.due <= now) this.#start(text, waiting, consumer.handler);
      else next = Math.min(next, waiting.due);
    }
    this.#wakeUp.abort();
    if (next === Number.POSITIVE_INFINITY) return;
    this.#wakeUp = new AbortController();
    const { signal } = this.#wakeUp;
    this.#clock.sleep(next - now, signal).then(
      () => this.#pump(),
      () => undefined,
    );
  }

  #start(text: string, { key, trace }: Waiting, handler: Handler): void {
    this.#waiting.delete(text);
    const job = this.#requeue.run(handler, key, trace).then(async (delayMs) => {
      this.#active.delete(text);
      if (delayMs !== undefined) await this.enqueue(key, { delayMs, trace });
      this.#pump();
    });
    this.#active.set(text, job);
  }
}
