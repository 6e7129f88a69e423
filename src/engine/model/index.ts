export type { Command } from './commands.ts';
export { decide } from './decide.ts';
export {
  type Definition,
  findStep,
  type RetryPolicy,
  type StepAction,
  type StepDefinition,
  type TriggerDefinition,
} from './definition.ts';
export { evolve, evolveEntry, fold, stepsOut } from './evolve.ts';
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
export { parseTimer, type TimerName, timerId } from './timers.ts';
export type { LogEntry, StoredEntry, Transition } from './transitions.ts';
export { upcastEntry } from './upcast.ts';
