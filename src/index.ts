/** What a program that uses Millrace may import: `import { createWorker } from 'millrace'`. */
export { connectNats, type NatsDoor, type NatsOptions } from './drivers/index.ts';
export type { Failure, InputBody, TaskMessage } from './engine/index.ts';
export {
  ChildError,
  type ChildOptions,
  type Client,
  type Context,
  createClient,
  type Ending,
  type ItemResult,
  type MapOptions,
  type NoSignals,
  RunError,
  type RunHandle,
  type ServeOptions,
  type Serving,
  type SignalOptions,
  type SignalSchemas,
  type StartOptions,
  type StepAttempt,
  StepError,
  type StepOptions,
  type StepRetry,
  serveWorkflows,
  type WorkflowFunction,
  type WorkflowOptions,
  workflow,
} from './functions/index.ts';
export { type ErrorCode, isMillraceError, type Json, type JsonObject, MillraceError } from './kernel/index.ts';
export {
  type ClientOptions,
  client,
  type DeclaredWorkflow,
  declared,
  type MillraceClient,
  type Run,
  type RunningWorker,
  type RunOptions,
  type WorkerSettings,
  worker,
} from './sdk/index.ts';
export {
  createTelemetry,
  type Logger,
  type ProcessTelemetry,
  type Telemetry,
  type TelemetryOptions,
  type TraceHeaders,
} from './telemetry/index.ts';
export {
  createWorker,
  type Handler,
  type HandlerOptions,
  NonRetryableError,
  RetryAfter,
  type Step,
  type StepCall,
  type StepContext,
  type StepSpec,
  step,
  type Worker,
  type WorkerOptions,
} from './worker/index.ts';
