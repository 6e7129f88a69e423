export { definitionOf, functionAssets } from './assets.ts';
export { type Client, createClient, RunError, type RunHandle, type StartOptions } from './client.jetstream.ts';
export { type WorkflowOptions, workflow } from './define.ts';
export { endingOfState } from './ending.ts';
export { StepError } from './errors.ts';
export { type Code, type Fit, type HistoryInput, type RunHistory, replayHistory } from './fits.ts';
export { FunctionHost } from './host.ts';
export type { HostPorts } from './host-ports.ts';
export { processPorts } from './process.node.ts';
export { type FunctionReplay, replayFunction } from './replaying.node.ts';
export type { InterposedCall } from './runtime.ts';
export { type ServeOptions, type Serving, serveWorkflows } from './serve.jetstream.ts';
export type {
  Context,
  Ending,
  NoSignals,
  ServedFunction,
  SignalOptions,
  SignalSchemas,
  StepAttempt,
  StepOptions,
  StepRetry,
  WorkflowFunction,
} from './types.ts';
