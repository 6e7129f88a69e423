/** Fakes for the worker's ports: time that moves when told, a sink and deliveries that remember. */
import { z } from 'zod';
import type { InputBody, TaskMessage } from '../../../src/engine/index.ts';
import { noTelemetry } from '../../../src/telemetry/index.ts';
import { HandlerRunner, type RunnerDeps } from '../../../src/worker/runner.ts';
import type { RegisteredHandler, ResultSink, StepContext, TaskDelivery, Timers } from '../../../src/worker/types.ts';

export class FakeTimers implements Timers {
  #now = 0;
  #next = 0;
  readonly #set = new Map<number, { at: number; every: number | undefined; act: () => void }>();

  now(): number {
    return this.#now;
  }

  after(ms: number, act: () => void): () => void {
    return this.#add(ms, undefined, act);
  }

  every(ms: number, act: () => void): () => void {
    return this.#add(ms, ms, act);
  }

  get pending(): number {
    return this.#set.size;
  }

  /** Moves time on, firing what is due in order. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const due = [...this.#set].filter(([, t]) => t.at <= until).sort((a, b) => a[1].at - b[1].at)[0];
      if (due === undefined) break;
      const [id, timer] = due;
      this.#now = timer.at;
      if (timer.every === undefined) this.#set.delete(id);
      else timer.at += timer.every;
      timer.act();
    }
    this.#now = until;
  }

  #add(ms: number, every: number | undefined, act: () => void): () => void {
    const id = this.#next++;
    this.#set.set(id, { at: this.#now + ms, every, act });
    return () => void this.#set.delete(id);
  }
}

export interface Sent {
  readonly msgId: string;
  readonly body: InputBody;
}

export class FakeSink implements ResultSink {
  readonly sent: Sent[] = [];
  readonly buried: { readonly seq: number; readonly code: string; readonly reason: string }[] = [];
  /** Given a report, may throw instead of storing it. */
  refuse: (body: InputBody) => void = () => undefined;

  async send(_task: TaskMessage, body: InputBody, msgId: string): Promise<void> {
    this.refuse(body);
    this.sent.push({ msgId, body });
  }

  async dead(delivery: TaskDelivery, code: string, reason: string): Promise<void> {
    this.buried.push({ seq: delivery.seq, code, reason });
  }
}

export class FakeDelivery implements TaskDelivery {
  readonly log: string[] = [];
  readonly headers = {};
  readonly subject = 'task.default.h';
  readonly data: Uint8Array;
  readonly seq: number;
  readonly deliveries: number;

  constructor(data: string, seq = 1, deliveries = 1) {
    this.data = new TextEncoder().encode(data);
    this.seq = seq;
    this.deliveries = deliveries;
  }

  ack(): void {
    this.log.push('ack');
  }
  nak(delayMs?: number): void {
    this.log.push(delayMs === undefined ? 'nak' : `nak ${delayMs}`);
  }
  term(): void {
    this.log.push('term');
  }
  working(): void {
    this.log.push('working');
  }
}

export function task(change: Partial<TaskMessage> = {}): TaskMessage {
  return {
    v: 1,
    workflow: 'w',
    runId: 'r1',
    step: 's',
    attempt: 1,
    handler: 'h',
    input: { n: 1 },
    idempotencyKey: 'r1/s',
    ...change,
  };
}

export const taskDelivery = (change: Partial<TaskMessage> = {}, seq = 1, deliveries = 1): FakeDelivery =>
  new FakeDelivery(JSON.stringify(task(change)), seq, deliveries);

export function handler(
  run: (input: { n: number }, ctx: StepContext) => unknown,
  change: Partial<RegisteredHandler> = {},
): RegisteredHandler {
  return {
    name: 'h',
    input: z.object({ n: z.number() }),
    output: z.object({ doubled: z.number() }),
    concurrency: 2,
    ackWaitMs: 30_000,
    run: run as RegisteredHandler['run'],
    ...change,
  };
}

export interface Bench {
  readonly runner: HandlerRunner;
  readonly sink: FakeSink;
  readonly timers: FakeTimers;
  freed: number;
}

export function bench(registered: RegisteredHandler, change: Partial<RunnerDeps> = {}): Bench {
  const sink = new FakeSink();
  const timers = new FakeTimers();
  const out: { freed: number } = { freed: 0 };
  const runner = new HandlerRunner({
    handler: registered,
    workerName: 'tester',
    queue: 'default',
    sink,
    timers,
    telemetry: noTelemetry,
    door: 'the door',
    onFree: () => void out.freed++,
    ...change,
  });
  return {
    runner,
    sink,
    timers,
    get freed() {
      return out.freed;
    },
  };
}

/** Lets every promise that can settle settle. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A promise and how to settle it. */
export function deferred<T>(): {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
} {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
