export { type Attempt, attemptsOf, type Verdict } from './attempts.ts';
export { type CarriedOut, carryOut } from './carry-out.ts';
export { DRIFT_CLASSES, type DriftClass, driftClassOf } from './classes.ts';
export { type Action, agrees, diff, type Live, needsQueued, PATIENCE } from './diff.ts';
export {
  type Difference,
  type Differences,
  differencesOf,
  type LoggedAttempt,
  liveByKey,
} from './difference.ts';
export { openDispatches } from './dispatches.jetstream.ts';
export { followOpenFlows, type StreamedOpenFlows } from './open-flows.jetstream.ts';
export { parseDifferences } from './plan-file.ts';
export type { CheckedQueue, DefinitionSource, Dispatches } from './ports.ts';
export { type BullQueueOptions, bullQueue } from './queue.bullmq.ts';
export { memoryQueue } from './queue.memory.ts';
export { Reconciler, type ReconcilerOptions } from './reconciler.ts';
export { Sweep, type SweepOptions, type SweepResult } from './sweep.ts';
