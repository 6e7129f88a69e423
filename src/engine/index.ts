export { type Assets, type ConsumerAsset, type StreamAsset, systemAssets, workflowAssets } from './assets.ts';
export type { Consumption, InputDelivery, Journal, RunRef, SendOptions, StoredInput } from './journal/port.ts';
export * from './model/index.ts';
export type { Outcome, ReconcileKey, ReconcileQueue } from './run/ports.ts';
