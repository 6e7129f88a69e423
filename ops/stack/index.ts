/** Starting, stopping and finding the servers Millrace stands on. The demo, the tests and the command line share it. */
export { OpsError, type OpsErrorCode } from '../lib/errors.ts';
export { prefectPython } from '../provision/index.ts';
export type { JaegerOptions } from './jaeger.ts';
export { freePort, isPortFree } from './ports.ts';
export { endedProcesses, type KeepOptions, type KeptProcess, keepProcess, stopProcesses } from './processes.ts';
export type { ServerHandle } from './server.ts';
export { type NatsOptions, PREFECT_QUIET, type PrefectOptions, type RedisOptions } from './servers.ts';
export { down, type PartStatus, runDir, type Stack, status, type UpOptions, up } from './stack.ts';
export { type ProcessOptions, startJaeger, startNats, startPrefect, startProcess, startRedis } from './start.ts';
export { STACK_PARTS, type StackPart } from './state.ts';
