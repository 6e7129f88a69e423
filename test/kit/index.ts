export { type ManualClock, manualClock } from './clock.ts';
export { functionsInMemory } from './functions-memory.ts';
export { type NatsKit, withNats } from './nats.ts';
export { type Recorder, recorder } from './recorder.ts';
export { type TinyWorker, tinyWorker } from './tiny-worker.ts';
export { Collector, deferred, waitFor } from './wait.ts';
export { define, PATIENT, workerStep } from './workflows.ts';
