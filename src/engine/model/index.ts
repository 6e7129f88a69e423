export { childRef, depthBelow, MAX_DEPTH } from './child-ref.ts';
export type { Command } from './commands.ts';
export { type Decision, decide, decision } from './decide.ts';
export type {
  AttributeDefinition,
  BatchPolicy,
  CompensationDefinition,
  DebouncePolicy,
  Definition,
  ForEachDefinition,
  LimitPolicy,
  OverlapPolicy,
  QueueLimit,
  RetentionPolicy,
  RetryPolicy,
  RunLimit,
  ScheduleDefinition,
  StepAction,
  StepDefinition,
  TriggerDefinition,
} from './definition.ts';
export { SHORTEST_RETENTION_MS } from './definition.ts';
export { findStep } from './definition-index.ts';
export { endingOfRun } from './ending.ts';
export { evolve, evolveEntry, fold, foldOnto, stepsOut } from './evolve.ts';
export { isFanOut, MAX_ITEMS } from './fan-out.ts';
export {
  type Attributes,
  type AttributeValue,
  attributeSchema,
  type BodyOf,
  endingSchema,
  type Failure,
  type FlowState,
  failureSchema,
  flowStateSchema,
  type Input,
  type InputBody,
  inputBodySchema,
  jsonSchema,
  type Parent,
  parentSchema,
  type RunEnding,
  type Slot,
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
  type Holder,
  holderSchema,
  type LimitMessage,
  limitMessageSchema,
  type TaskMessage,
  taskMessageSchema,
} from './messages.ts';
export { react } from './react.ts';
export {
  type ConcurrencyOptions,
  type FlowOptions,
  queueLimit,
  type RateLimitOptions,
  runLimits,
} from './run-limits.ts';
export { DEFAULT_PRIORITY, keepsSlot, stillAsks } from './slots.ts';
export {
  type Closing,
  type FlowBinding,
  type ItemsState,
  isDone,
  isEnded,
  isOpen,
  isOut,
  isUndo,
  itemAt,
  itemName,
  itemOf,
  itemsOf,
  newRun,
  type RunState,
  type RunStatus,
  type StepState,
  type StepStatus,
  stepOf,
  type UpdateState,
  undoName,
  undoneBy,
} from './state.ts';
export { StateDraft } from './state-draft.ts';
export { parseTimer, type TimerName, timerId } from './timers.ts';
export type { Carried, ChildRef, LogEntry, StoredEntry, Transition } from './transitions.ts';
export { storedEntry, upcastEntry } from './upcast.ts';
export { whyNotMovable } from './versions.ts';
