/**
 * Inputs: everything that can happen to a run, as stored on `wf.<workflow>.in.<runId>`.
 * The schema is the boundary: bytes from the stream become an {@link InputBody} here or are a poison input.
 */
import { z } from 'zod';
import type { Json } from '../../kernel/index.ts';

/** Nesting that JSON.stringify, expressions and people can still follow; deeper input is poison, not data. */
export const MAX_JSON_DEPTH = 200;

function isShallow(value: unknown, room: number): boolean {
  if (value === null || typeof value !== 'object') return true;
  return room > 0 && Object.values(value).every((member) => isShallow(member, room - 1));
}

/**
 * Any JSON value. What is checked here came out of JSON.parse, so only its depth is looked at: walking a day of flights
 * through a recursive union took longer than deciding on it.
 */
export const jsonSchema: z.ZodType<Json> = z.custom<Json>(
  (value) => value !== undefined && isShallow(value, MAX_JSON_DEPTH),
  `must be JSON, nested at most ${MAX_JSON_DEPTH} levels deep`,
);
const json = jsonSchema;

/** A failure as data: what a step's error looks like in the journal. */
export const failureSchema = z.object({
  code: z.string(),
  /** Class of the error that was thrown, where it says more than the code. */
  type: z.string().optional(),
  message: z.string(),
  hint: z.string().optional(),
  /** false: another attempt cannot help. */
  retryable: z.boolean().default(true),
  /** true: the attempt did not fail by its own doing (its process or host died); counted apart. */
  lost: z.boolean().default(false),
  /** The error says when another attempt makes sense, ms from now: instead of the policy's backoff. */
  retryAfterMs: z.number().nonnegative().optional(),
});
/** A failure as data: its code, its message, and whether another attempt can help. */
export type Failure = z.infer<typeof failureSchema>;

/** Where the message that started a run is stored. */
export const sourceSchema = z.object({
  stream: z.string(),
  sequence: z.number().int().positive(),
  subject: z.string(),
  trigger: z.string(),
  /** Time the source message was stored, ms since the epoch: the start of every latency figure. */
  storedAt: z.number(),
});
export type Source = z.infer<typeof sourceSchema>;

/** The run and step that a child run was started by. */
export const parentSchema = z.object({
  workflow: z.string(),
  runId: z.string(),
  step: z.string(),
  attempt: z.number().int().positive(),
  /** Nobody waits for the child: it is known whose child it is, and its end is told to no one. */
  detached: z.literal(true).optional(),
  /** Ancestors that it has, itself being the first below the topmost: 1. Without it: 1. */
  depth: z.number().int().positive().optional(),
});
export type Parent = z.infer<typeof parentSchema>;

/** How a run ended, as data: what a child tells its parent. */
export const endingSchema = z.discriminatedUnion('status', [
  z.object({ status: z.literal('completed'), output: json }),
  z.object({ status: z.literal('failed'), error: failureSchema }),
  z.object({ status: z.literal('cancelled'), reason: z.string() }),
]);
export type RunEnding = z.infer<typeof endingSchema>;

/** A search attribute's value. A datetime is ms since the epoch; `null` takes the attribute away. */
export const attributeSchema = z.union([z.string(), z.number(), z.boolean(), z.array(z.string()), z.null()]);
export type AttributeValue = z.infer<typeof attributeSchema>;
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** A slot of a flow-control limit that a run holds. */
export const slotSchema = z.object({
  limit: z.string(),
  key: z.string(),
  /** Fencing: grows with every grant of the limit's key. */
  token: z.number().int().nonnegative(),
});
export type Slot = z.infer<typeof slotSchema>;

/** W3C trace context of the run's starting message. */
export const traceSchema = z.object({ traceparent: z.string(), tracestate: z.string().optional() });
export type TraceContext = z.infer<typeof traceSchema>;

/** A flow run's state as Prefect knows it. */
export const flowStateSchema = z.object({
  type: z.enum([
    'SCHEDULED',
    'PENDING',
    'RUNNING',
    'COMPLETED',
    'FAILED',
    'CANCELLED',
    'CRASHED',
    'PAUSED',
    'CANCELLING',
  ]),
  name: z.string(),
  /** Prefect says null where there is none. */
  message: z.string().nullish(),
  /** ms since the epoch, Prefect's own timestamp. */
  at: z.number(),
});
export type FlowState = z.infer<typeof flowStateSchema>;
export const TERMINAL_FLOW_STATES: ReadonlySet<FlowState['type']> = new Set([
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'CRASHED',
]);

/** Where a report of a flow run's state came from. */
export const flowSourceSchema = z.enum(['host', 'events', 'reconcile']);

const attempt = { step: z.string(), attempt: z.number().int().positive() };

/** Who ran a short attempt, and since when (ms since the epoch, the worker's clock): then no `task.started` was sent. */
const begun = { worker: z.string().optional(), startedAt: z.number().optional() };

export const inputBodySchema = z.discriminatedUnion('kind', [
  z.object({
    v: z.literal(1),
    kind: z.literal('start'),
    digest: z.string(),
    payload: json,
    source: sourceSchema.optional(),
    trace: traceSchema.optional(),
    by: z.string().optional(),
    /** Durable functions: the inbox where whoever started the run waits for its end. */
    notify: z.string().startsWith('_INBOX.').optional(),
    /** Durable functions: the run's id was made for this start, so there is no log to look for before its first effect. */
    fresh: z.literal(true).optional(),
    parent: parentSchema.optional(),
    attributes: z.record(z.string(), attributeSchema).optional(),
    /** 1 (first) to 5; 3 when nobody said. Counts where starts wait for a slot. */
    priority: z.number().int().min(1).max(5).optional(),
  }),
  z.object({ v: z.literal(1), kind: z.literal('task.started'), ...attempt, worker: z.string() }),
  z.object({ v: z.literal(1), kind: z.literal('task.succeeded'), ...attempt, ...begun, output: json }),
  z.object({ v: z.literal(1), kind: z.literal('task.failed'), ...attempt, ...begun, error: failureSchema }),
  z.object({
    v: z.literal(1),
    kind: z.literal('flow'),
    ...attempt,
    /** Empty when there is no flow run because it could not be created. */
    flowRunId: z.string(),
    state: flowStateSchema,
    source: flowSourceSchema,
    /** Return value of a COMPLETED flow run. */
    result: json.optional(),
    /** More than the state says, e.g. a missing deployment. */
    error: failureSchema.optional(),
  }),
  /** The attempt lives; `details` are handed to the next attempt should this one be lost. */
  z.object({ v: z.literal(1), kind: z.literal('task.heartbeat'), ...attempt, ...begun, details: json.optional() }),
  /** A child run has ended, or could not be started (then `failed`). */
  z.object({
    v: z.literal(1),
    kind: z.literal('child'),
    ...attempt,
    workflow: z.string(),
    runId: z.string(),
    ending: endingSchema,
  }),
  /** `at`: the time it was set to; a timer may have been moved since. */
  z.object({ v: z.literal(1), kind: z.literal('timer'), timer: z.string(), at: z.number().optional() }),
  z.object({ v: z.literal(1), kind: z.literal('signal'), name: z.string(), payload: json, by: z.string().optional() }),
  /** Cooperative: work that is out may end within the grace time, compensations run. */
  z.object({
    v: z.literal(1),
    kind: z.literal('cancel'),
    reason: z.string(),
    by: z.string().optional(),
    /** Overrides the workflow's own grace time. */
    graceMs: z.number().int().nonnegative().optional(),
  }),
  /** At once: nothing is waited for, nothing is compensated. */
  z.object({ v: z.literal(1), kind: z.literal('kill'), reason: z.string(), by: z.string().optional() }),
  /** Paused steps go on: the one named, else all of them. */
  z.object({ v: z.literal(1), kind: z.literal('resume'), step: z.string().optional(), by: z.string().optional() }),
  /** Durable functions: a signal that returns a result; the same id is answered with the same result. */
  z.object({
    v: z.literal(1),
    kind: z.literal('update'),
    id: z.string(),
    name: z.string(),
    payload: json,
    by: z.string().optional(),
    /** The inbox where the sender waits for the answer. */
    notify: z.string().startsWith('_INBOX.').optional(),
  }),
  /** A limit's word on a run that waits for it. */
  z.object({
    v: z.literal(1),
    kind: z.literal('slot'),
    slot: slotSchema,
    verdict: z.enum(['granted', 'refused', 'revoked']),
    reason: z.string().optional(),
    /** Which of the run's asks it answers: how often the run had been retried by hand then; a step's attempt. */
    ask: z.number().int().nonnegative(),
    /** The slot is for an attempt of this step. */
    step: z.string().optional(),
  }),
  z.object({ v: z.literal(1), kind: z.literal('retry'), by: z.string().optional() }),
  /** An input of a run that was imported: what it said once is history, and means nothing any more. */
  z.object({
    v: z.literal(1),
    kind: z.literal('imported'),
    /** When and as which run's it was stored where it comes from. */
    at: z.number(),
    runId: z.string(),
    /** What it said; `base64` when that was no JSON. */
    body: json.optional(),
    base64: z.string().optional(),
    msgId: z.string().optional(),
  }),
  /** Go on by another definition of the workflow; nothing happens where that is not possible (see versions.ts). */
  z.object({ v: z.literal(1), kind: z.literal('move'), digest: z.string(), by: z.string().optional() }),
]);

/** What an input message says. */
export type InputBody = z.infer<typeof inputBodySchema>;
/** The body of one kind. */
export type BodyOf<K extends InputBody['kind']> = Extract<InputBody, { kind: K }>;

/** An input as the engine decides on it: its place in the stream and the time the server stored it. */
export interface Input {
  /** Sequence in the workflow's stream. */
  readonly seq: number;
  /** Server time of storing, ms since the epoch: the only "now" that `decide` sees. */
  readonly at: number;
  readonly body: InputBody;
}
