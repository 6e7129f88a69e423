export { type Comparison, compareAll, type Disagreement } from './compare.ts';
export {
  createPrefectClient,
  type Deployment,
  type FlowRun,
  PREFECT_EVENTS_STREAM,
  type PrefectApi,
  type PrefectClientOptions,
  type TaskRun,
} from './prefect/index.ts';
export {
  bullQueue,
  type DefinitionSource,
  type Difference,
  type Differences,
  memoryQueue,
  parseDifferences,
  type Verdict,
} from './reconcile/index.ts';
export { openReconciliation, type Reconciliation } from './reconciliation.ts';
export { type Bridge, type BridgeOptions, startBridge } from './start.ts';
