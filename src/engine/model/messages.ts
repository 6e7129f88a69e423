/** Messages between the engine, workers and flow hosts that are not journal inputs. docs/protocol.md shows each of them. */
import { z } from 'zod';
import { jsonSchema as json } from './inputs.ts';

const attemptOfRun = {
  v: z.literal(1),
  workflow: z.string(),
  runId: z.string(),
  step: z.string(),
  attempt: z.number().int().positive(),
};

/** On `task.<queue>.<handler>`: one attempt of a step for a worker. Trace context rides in the headers. */
export const taskMessageSchema = z.object({
  ...attemptOfRun,
  handler: z.string(),
  input: json,
  /** Longest time of the attempt in ms, for the worker's own abort; the engine's timer decides. */
  timeoutMs: z.number().optional(),
  /** Longest silence between two heartbeats in ms. */
  heartbeatMs: z.number().optional(),
  /** Details of the last heartbeat of an attempt before this one. */
  progress: json.optional(),
  /** Stable over all attempts of the step. */
  idempotencyKey: z.string(),
});
/** One attempt of a declared step, as a worker gets it. */
export type TaskMessage = z.infer<typeof taskMessageSchema>;

/** On `flow.dispatch.<pool>`: a flow run for a flow host. */
export const dispatchMessageSchema = z.object({
  ...attemptOfRun,
  /** `run`: claim and execute it. `collect`: it has ended in Prefect and nobody reported; report state and result. */
  action: z.enum(['run', 'collect']),
  flowRunId: z.string(),
  /** `<flow>/<deployment>` as Prefect names it. */
  deployment: z.string(),
  parameters: z.record(z.string(), json),
  /** W3C trace context of the step's attempt: the parent of the flow's span. */
  traceparent: z.string(),
});
export type DispatchMessage = z.infer<typeof dispatchMessageSchema>;

/** Whose slot it is: a run's, or an attempt's of its step. */
export const holderSchema = z.object({ workflow: z.string(), runId: z.string(), step: z.string().optional() });
export type Holder = z.infer<typeof holderSchema>;

export const limitPolicySchema = z.object({
  slots: z.number().int().positive().optional(),
  rate: z.object({ limit: z.number().int().positive(), perMs: z.number().int().positive() }).optional(),
  onFull: z.enum(['queue', 'cancelOldest', 'cancelNewest', 'drop']),
});

/** On `limit.in.<limit>.<key>`: what is asked of one key of a limit. `ask` numbers the asks of a holder, ascending. */
export const limitMessageSchema = z.discriminatedUnion('kind', [
  z.object({
    v: z.literal(1),
    kind: z.literal('ask'),
    key: z.string(),
    holder: holderSchema,
    ask: z.number().int().nonnegative(),
    priority: z.number().int().min(1).max(5),
    policy: limitPolicySchema,
  }),
  /** Gives back what this ask or an earlier one of the holder was given, and takes back what still waits. */
  z.object({
    v: z.literal(1),
    kind: z.literal('free'),
    holder: holderSchema,
    ask: z.number().int().nonnegative(),
    /** `gone`: a sweep found that the holder has no right to it. `released`: a person took it away. */
    why: z.enum(['gone', 'released']).optional(),
    by: z.string().optional(),
  }),
  /** A trigger's message that is gathered with others before a run starts. */
  z.object({
    v: z.literal(1),
    kind: z.literal('collect'),
    key: z.string(),
    workflow: z.string(),
    /** The message's stream and sequence: it is gathered once. */
    id: z.string(),
    /** The run that it would start alone; the first one's names a batch, the last one's what was debounced. */
    runId: z.string(),
    start: z.record(z.string(), json),
    debounce: z.object({ waitMs: z.number().positive(), maxMs: z.number().positive().optional() }).optional(),
    batch: z.object({ size: z.number().int().positive(), waitMs: z.number().positive() }).optional(),
  }),
  /** Its timer fired. */
  z.object({ v: z.literal(1), kind: z.literal('timer') }),
]);
export type LimitMessage = z.infer<typeof limitMessageSchema>;

/** On core subject `cancel.<workflow>.<runId>`: stop this attempt. */
export const cancelMessageSchema = z.object({
  ...attemptOfRun,
  reason: z.string(),
  /** The run waits so long for the attempt's report, in ms; without it nobody waits. */
  graceMs: z.number().optional(),
});
export type CancelMessage = z.infer<typeof cancelMessageSchema>;
