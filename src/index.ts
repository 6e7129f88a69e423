/** What a program that uses Millrace may import: `import { createWorker } from 'millrace'`. */
export type { Failure, InputBody, TaskMessage } from './engine/index.ts';
export { type ErrorCode, isMillraceError, type Json, type JsonObject, MillraceError } from './kernel/index.ts';
export type { Logger, Telemetry, TraceHeaders } from './telemetry/index.ts';
export {
  createWorker,
  type Handler,
  type HandlerOptions,
  NonRetryableError,
  type StepContext,
  type Worker,
  type WorkerOptions,
} from './worker/index.ts';
