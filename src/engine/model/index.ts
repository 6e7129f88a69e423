export type { Command } from './commands.ts';
export { type Decision, decide, decision } from './decide.ts';
export type {
  Definition,
  RetryPolicy,
  StepAction,
  StepDefinition,
  TriggerDefinition,
} from './definition.ts';
export { findStep } from './definition-index.ts';
export { evolve, evolveEntry, fold, foldOnto, stepsOut } from './evolve.ts';
export {
  type Failure,
  type FlowState,
  failureSchema,
  flowStateSchema,
  type Input,
  type InputBody,
  inputBodySchema,
  jsonSchema,
  type Source,
  sourceSchema,
  TERMINAL_FLOW_STATES,
  type TraceContext,
  traceSchema,
} from './inputs.ts';
export {
  type CancelMessage,
  cancelMessageSchema,
  type DispatchMessage,
  dispatchMessageSchema,
  type TaskMessage,
  taskMessageSchema,
} from './messages.ts';
export { react } from './react.ts';
export {
  type FlowBinding,
  isDone,
  isEnded,
  isOut,
  newRun,
  type RunState,
  type RunStatus,
  type StepState,
  type StepStatus,
  stepOf,
} from './state.ts';
export { StateDraft } from './state-draft.ts';
export { parseTimer, type TimerName, timerId } from './timers.ts';
export type { LogEntry, StoredEntry, Transition } from './transitions.ts';
export { storedEntry, upcastEntry } from './upcast.ts';
