export { type Assets, type ConsumerAsset, type StreamAsset, systemAssets, workflowAssets } from './assets.ts';
export {
  type Fault,
  type FaultPoint,
  MemoryBroker,
  type MemoryOptions,
  type OpenInput,
  SimulatedCrash,
} from './journal/broker.memory.ts';
export { type JetStreamJournalOptions, openJournal } from './journal/journal.jetstream.ts';
export { MemoryJournal } from './journal/journal.memory.ts';
export type { Consumption, InputDelivery, Journal, RunRef, SendOptions, StoredInput } from './journal/port.ts';
export * from './model/index.ts';
export type { Outcome, ReconcileKey, ReconcileQueue } from './run/ports.ts';
