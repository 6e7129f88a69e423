export { type Janitor, type JanitorOptions, startJanitor } from './janitor.jetstream.ts';
export { dueAt, type Ended } from './ledger.ts';
export { openPins, type Pin, type PinStore } from './pins.nats.ts';
export { purgeEnded } from './store.jetstream.ts';
