export { type ImportPorts, importRun } from './import.ts';
export { type Janitor, type JanitorOptions, startJanitor } from './janitor.jetstream.ts';
export { dueAt, type Ended } from './ledger.ts';
export { openPins, type Pin, type PinStore } from './pins.nats.ts';
export { purgeEnded, purgeWhole } from './store.jetstream.ts';
export { type ExportedRun, exportRun, parseExport } from './transfer.ts';
