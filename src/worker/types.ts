/** The worker's public types, and the ports its pure parts see the outside through. */
import type { z } from 'zod';
import type { InputBody, TaskMessage } from '../engine/index.ts';
import type { Json } from '../kernel/index.ts';
import type { Logger, TraceHeaders } from '../telemetry/index.ts';

/** What a handler sees of the attempt it runs. `Door` is the connection to NATS. */
export interface StepContext<Door = unknown> {
  readonly workflow: string;
  readonly runId: string;
  readonly step: string;
  /** From 1. */
  readonly attempt: number;
  /** Stable over all attempts of the step: key outside effects by it. */
  readonly idempotencyKey: string;
  /** Aborts when the attempt is cancelled, takes longer than its timeout, or the worker shuts down. */
  readonly signal: AbortSignal;
  /** What an attempt before this one last gave to `heartbeat`; undefined when none did. */
  readonly progress: Json | undefined;
  /**
   * Says that the attempt lives, and how far it has come: `details` (JSON) are handed to the next attempt as `progress`. Call it
   * as often as you like; it is sent at most twice per `heartbeatTimeout` of the step, the latest details count.
   */
  heartbeat(details?: unknown): void;
  /** Tells the server now that the attempt is alive (it is told at a third of the ack wait anyway). */
  working(): void;
  readonly log: Logger;
  /** The worker's connection, to publish and to reach buckets. */
  readonly nats: Door;
  /** W3C trace context of this attempt's span: spread it into the headers of what you send. */
  readonly trace: TraceHeaders;
  /** Ends the attempt with a failure; `retryable: false` (the default) ends the step. */
  fail(message: string, options?: { readonly retryable?: boolean; readonly hint?: string }): never;
}

/** How a handler is run. */
export interface HandlerOptions<I extends z.ZodType, O extends z.ZodType> {
  /** Checks the step's input; what does not fit fails the step with MR_INPUT_INVALID. */
  readonly input: I;
  /** Checks what the handler returned; what does not fit fails the step with MR_OUTPUT_INVALID. */
  readonly output: O;
  /** Attempts at once in this process; 10 by default. */
  readonly concurrency?: number;
  /** After how long without a sign of life an attempt is given to another worker, in ms; 30,000 by default. */
  readonly ackWaitMs?: number;
}

/** The code of a declared step: what {@link Worker.handle} registers. */
export type Handler<I extends z.ZodType, O extends z.ZodType, Door = unknown> = (
  input: z.output<I>,
  context: StepContext<Door>,
) => Promise<z.input<O>> | z.input<O>;

/** A handler as the runner holds it: its types are behind the schemas. */
export interface RegisteredHandler {
  readonly name: string;
  readonly input: z.ZodType;
  readonly output: z.ZodType;
  readonly concurrency: number;
  readonly ackWaitMs: number;
  readonly run: (input: unknown, context: StepContext) => unknown;
}

/** One delivery of a task message. */
export interface TaskDelivery {
  readonly data: Uint8Array;
  /** First value of each header. */
  readonly headers: Readonly<Record<string, string>>;
  readonly subject: string;
  readonly seq: number;
  /** 1 on first delivery. */
  readonly deliveries: number;
  ack(): void;
  nak(delayMs?: number): void;
  term(reason: string): void;
  working(): void;
}

/** Where results and dead letters go. */
export interface ResultSink {
  /**
   * Stores an input of the attempt's run.
   * @throws MillraceError when it could not be stored: `terminal` when it never can be
   */
  send(task: TaskMessage, body: InputBody, msgId: string, trace: TraceHeaders): Promise<void>;
  /** Keeps a message that is no task. @throws MillraceError when it could not be stored */
  dead(delivery: TaskDelivery, code: string, reason: string): Promise<void>;
}

/** Time as the runner uses it; each call gives a function that calls the timer off. */
export interface Timers {
  now(): number;
  after(ms: number, act: () => void): () => void;
  every(ms: number, act: () => void): () => void;
}
