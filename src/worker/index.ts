export { attemptKey } from './attempt.ts';
export { failureOf, NonRetryableError, RetryAfter } from './errors.ts';
export { HandlerRunner } from './runner.ts';
export { type AnyStep, callStep, handlerOf, type Step, type StepCall, type StepSpec, step } from './step.ts';
export { processTimers } from './timers.node.ts';
export type { Handler, HandlerOptions, RegisteredHandler, StepContext, TaskDelivery } from './types.ts';
export { createWorker, type Worker, type WorkerOptions } from './worker.ts';
