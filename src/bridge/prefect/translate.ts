/** From Prefect's words to the engine's, and nothing else. Pure. */
import { type Failure, type FlowState, type InputBody, TERMINAL_FLOW_STATES } from '../../engine/index.ts';
import { shortHash } from '../../kernel/index.ts';
import { idempotencyKeyOf, keyFromTags, type ReconcileKey } from '../key.ts';
import type { FlowRunEvent, PrefectState, StateType } from './payloads.ts';
import { stateTypeSchema } from './payloads.ts';

export type FlowInput = Extract<InputBody, { kind: 'flow' }>;
export type ReportSource = FlowInput['source'];

/** A flow input with the id under which all reporters send the same news. */
export interface FlowReport {
  readonly body: FlowInput;
  readonly msgId: string;
}

/** Prefect's timestamp in ms since the epoch; 0 for one that cannot be read, which loses against any other. */
export function timeOf(timestamp: string | null | undefined): number {
  const at = Date.parse(timestamp ?? '');
  return Number.isNaN(at) ? 0 : at;
}

/** A message may hold a whole traceback of a generated program; the log keeps its beginning, Prefect has the rest. */
const LONGEST_MESSAGE = 4_000;

export function flowStateOf(state: PrefectState): FlowState {
  const message = state.message?.slice(0, LONGEST_MESSAGE) ?? undefined;
  return { type: state.type, name: state.name, message, at: timeOf(state.timestamp) };
}

export function isTerminal(type: StateType): boolean {
  return TERMINAL_FLOW_STATES.has(type);
}

/** Prefect's default name of a type: `RUNNING` is `Running`. */
export function defaultName(type: StateType): string {
  return type.charAt(0) + type.slice(1).toLowerCase();
}

/** `flow:<flowRunId>:<type>` with `:<name>` when the name is another than the type. */
export function flowMessageId(flowRunId: string, state: Pick<FlowState, 'type' | 'name'>): string {
  const base = `flow:${flowRunId}:${state.type}`;
  return state.name.toLowerCase() === state.type.toLowerCase() ? base : `${base}:${state.name}`;
}

/** A flow run's state as an input of its run. A COMPLETED needs a result, so only a flow host reports that one. */
export function flowReport(
  key: ReconcileKey,
  flowRunId: string,
  state: FlowState,
  source: ReportSource,
  error?: Failure,
): FlowReport {
  const body: FlowInput = {
    v: 1,
    kind: 'flow',
    step: key.step,
    attempt: key.attempt,
    flowRunId,
    state,
    source,
    ...(error === undefined ? {} : { error }),
  };
  // Without a flow run the attempt itself must tell the messages apart, or one run's would pass for another's.
  return { body, msgId: flowMessageId(flowRunId === '' ? idempotencyKeyOf(key) : flowRunId, state) };
}

/** The same transition of the same flow run always has the same UUID. */
export function transitionIdOf(flowRunId: string, type: StateType): string {
  const hex = shortHash(`transition/${flowRunId}/${type}`, 32);
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 3) | 8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `5${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20),
  ].join('-');
}

/** What the event socket saw of one of our flow runs. */
export interface Observation {
  readonly eventId: string;
  readonly occurredAt: number;
  readonly key: ReconcileKey;
  readonly flowRunId: string;
  readonly state: FlowState;
}

const FLOW_RUN = 'prefect.flow-run.';
const TAG = 'prefect.tag.';

/** An event as an observation; undefined when it is not a state change of a flow run of ours. */
export function observationOf(event: FlowRunEvent): Observation | undefined {
  const { resource } = event;
  const id = resource['prefect.resource.id'] ?? '';
  const type = stateTypeSchema.safeParse(resource['prefect.state-type']);
  if (!id.startsWith(FLOW_RUN) || !type.success) return undefined;
  const tags = event.related
    .filter((related) => related['prefect.resource.role'] === 'tag')
    .map((related) => (related['prefect.resource.id'] ?? '').slice(TAG.length));
  const key = keyFromTags(tags);
  if (key === undefined) return undefined;
  const message = resource['prefect.state-message'];
  return {
    eventId: event.id,
    occurredAt: timeOf(event.occurred),
    key,
    flowRunId: id.slice(FLOW_RUN.length),
    state: {
      type: type.data,
      name: resource['prefect.state-name'] ?? defaultName(type.data),
      message: message === null || message === '' ? undefined : message,
      at: timeOf(resource['prefect.state-timestamp'] ?? event.occurred),
    },
  };
}
