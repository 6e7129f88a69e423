export { type Assets, type ConsumerAsset, type StreamAsset, systemAssets, workflowAssets } from './assets.ts';
export {
  type DeadLetterFilter,
  type DeadLetters,
  openDeadLetters,
  type StoredDeadLetter,
} from './dead/dead-letters.jetstream.ts';
export {
  type Fault,
  type FaultPoint,
  MemoryBroker,
  type MemoryOptions,
  type OpenInput,
  SimulatedCrash,
} from './journal/broker.memory.ts';
export { DeliveryChain } from './journal/chain.ts';
export { entryOf } from './journal/entry.ts';
export { giveBackMs } from './journal/give-back.ts';
export { type ImportedBody, importedBody, type OriginalInput, originalInput, readable } from './journal/imported.ts';
export { type JetStreamJournalOptions, openJournal } from './journal/journal.jetstream.ts';
export { MemoryJournal } from './journal/journal.memory.ts';
export type { Consumption, InputDelivery, Journal, RunRef, SendOptions, StoredInput } from './journal/port.ts';
export { isOld, isPurged } from './journal/purged.ts';
export * from './model/index.ts';
export { type ChildPorts, closeChild, startChild, tellParent } from './run/children.ts';
export { Controller, type ControllerOptions, type ControllerPorts } from './run/controller.ts';
export { type JetStreamOutboxOptions, openOutbox } from './run/outbox.jetstream.ts';
export { type Poison, parseInput } from './run/parse-input.ts';
export type {
  CommandBatch,
  DeadLetter,
  DefinitionLookup,
  Outbox,
  Outcome,
  PlacedCommand,
  ReconcileKey,
  ReconcileQueue,
} from './run/ports.ts';
export {
  type ControllerService,
  type ControllerServiceOptions,
  type DefinitionFeed,
  startController,
} from './run/service.jetstream.ts';
export { spansOf } from './run/spans.ts';
export { decideTrigger, type TriggerDecision, type TriggerMessage } from './run/trigger.ts';
export { forwardTimers } from './timers/timers.jetstream.ts';
