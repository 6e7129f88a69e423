export { type LimitJournalOptions, openLimitJournal } from './journal.jetstream.ts';
export { MemoryLimits } from './journal.memory.ts';
export { type KeeperPorts, LimitKeeper } from './keeper.ts';
export * from './model/index.ts';
export type { AskDelivery, LimitJournal, LimitRef, StoredAsk } from './port.ts';
export { type LimitService, type LimitServiceOptions, startLimits } from './service.jetstream.ts';
export { LimitSweep, type SweepPorts } from './sweep.ts';
