export { createPrefectClient, type PrefectClientOptions } from './client.http.ts';
export { type EventStream, openEventStream, PREFECT_EVENTS_STREAM } from './events.jetstream.ts';
export { type EventSocket, type EventSocketOptions, openEventSocket } from './events.ws.ts';
export { flowRunRequest, literalParameters, parametersOf } from './parameters.ts';
export type { Deployment, FlowRun, PrefectState, StateType, TaskRun } from './payloads.ts';
export type { FlowRunQuery, FlowRunRequest, PrefectApi, SetState, SetStateResult } from './port.ts';
export {
  flowMessageId,
  flowReport,
  flowStateOf,
  isTerminal,
  type Observation,
  observationOf,
  type ReportSource,
  timeOf,
  transitionIdOf,
} from './translate.ts';
