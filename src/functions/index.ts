export { definitionOf, functionAssets } from './assets.ts';
export { type Client, createClient, RunError, type RunHandle, type StartOptions } from './client.jetstream.ts';
export { type WorkflowOptions, workflow } from './define.ts';
export { endingOfState } from './ending.ts';
export { ChildError, StepError } from './errors.ts';
export { JournalFamily } from './family.ts';
export { type Code, type Fit, type HistoryInput, type RunHistory, replayHistory } from './fits.ts';
export { FunctionHost } from './host.ts';
export type { HostOptions, HostPorts } from './host-ports.ts';
export type { Family } from './kinship.ts';
export { processPorts } from './process.node.ts';
export { type FunctionReplay, replayFunction } from './replaying.node.ts';
export type { InterposedCall } from './runtime.ts';
export { type ServeOptions, type Serving, serveWorkflows } from './serve.jetstream.ts';
export type {
  ChildOptions,
  Context,
  Ending,
  ItemResult,
  MapOptions,
  NoSignals,
  ServedFunction,
  SignalOptions,
  SignalSchemas,
  StepAttempt,
  StepOptions,
  StepRetry,
  WorkflowFunction,
} from './types.ts';
