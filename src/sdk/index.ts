export { type ClientOptions, client, type MillraceClient } from './client.jetstream.ts';
export { type DeclaredWorkflow, declared } from './declared.ts';
export type { Run, RunOptions } from './run.ts';
export { type RunningWorker, type WorkerSettings, worker } from './worker.jetstream.ts';
