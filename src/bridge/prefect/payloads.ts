/** Prefect's payloads, only the fields that are used, everything else let through: their API may grow as it likes. */
import { z } from 'zod';
import { flowStateSchema } from '../../engine/index.ts';

/** The engine's own list: a report that passes here is one that a run can take as an input. */
export const stateTypeSchema = flowStateSchema.shape.type;
/** Type of a state; its name is free text (`Late`, `AwaitingRetry`), the type is what counts. */
export type StateType = z.infer<typeof stateTypeSchema>;

export const prefectStateSchema = z.object({
  type: stateTypeSchema,
  name: z.string(),
  message: z.string().nullish(),
  /** RFC 3339 with microseconds. */
  timestamp: z.string(),
});
export type PrefectState = z.infer<typeof prefectStateSchema>;

const labelValue = z.union([z.string(), z.number(), z.boolean()]);

export const flowRunSchema = z.object({
  id: z.string(),
  name: z.string(),
  idempotency_key: z.string().nullish(),
  tags: z.array(z.string()).default([]),
  labels: z.record(z.string(), labelValue).default({}),
  /** Null for a moment while a flow run is being created. */
  state: prefectStateSchema.nullish(),
});
export type FlowRun = z.infer<typeof flowRunSchema>;
export const flowRunsSchema = z.array(flowRunSchema);

export const deploymentSchema = z.object({ id: z.string(), name: z.string() });
export type Deployment = z.infer<typeof deploymentSchema>;

export const taskRunSchema = z.object({
  id: z.string(),
  name: z.string(),
  state_type: stateTypeSchema.nullish(),
  state_name: z.string().nullish(),
  start_time: z.string().nullish(),
  end_time: z.string().nullish(),
});
export type TaskRun = z.infer<typeof taskRunSchema>;
export const taskRunsSchema = z.array(taskRunSchema);

export const setStateResponseSchema = z.object({
  status: z.enum(['ACCEPT', 'REJECT', 'ABORT', 'WAIT']),
  state: prefectStateSchema.nullish(),
  details: z.object({ reason: z.string().nullish(), delay_seconds: z.number().nullish() }).nullish(),
});

/** Any error body: FastAPI says `detail`, Prefect's own handlers `exception_message`. */
export const errorBodySchema = z.object({ detail: z.unknown(), exception_message: z.string() }).partial();

const relatedResource = z.record(z.string(), z.string().nullable());

/** An event, as far as it tells a flow run's state. */
export const flowRunEventSchema = z.object({
  id: z.string(),
  event: z.string(),
  occurred: z.string(),
  resource: z.record(z.string(), z.string().nullable()),
  related: z.array(relatedResource).default([]),
});
export type FlowRunEvent = z.infer<typeof flowRunEventSchema>;

/** One message of `/api/events/out` after the handshake. */
export const eventMessageSchema = z.object({ type: z.literal('event'), event: flowRunEventSchema });
