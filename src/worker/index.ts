export { failureOf, NonRetryableError } from './errors.ts';
export { processTimers } from './timers.node.ts';
export type { Handler, HandlerOptions, StepContext } from './types.ts';
export { createWorker, type Worker, type WorkerOptions } from './worker.ts';
