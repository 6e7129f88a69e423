export { failureOf, NonRetryableError, RetryAfter } from './errors.ts';
export { type AnyStep, callStep, type Step, type StepCall, type StepSpec, step } from './step.ts';
export { processTimers } from './timers.node.ts';
export type { Handler, HandlerOptions, StepContext } from './types.ts';
export { createWorker, type Worker, type WorkerOptions } from './worker.ts';
