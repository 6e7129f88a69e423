export { type DiffLine, diffJson } from './diff.ts';
export { resolveRun } from './find.ts';
export { type HistoryLine, historyOf, stateAt } from './history.ts';
export { readInputBody } from './input.ts';
export { openReader } from './reader.jetstream.ts';
export type { RunReader } from './reader.ts';
export { type RunFilter, type RunSummary, selectRuns, summarize } from './summary.ts';
export { transitionText } from './transition-text.ts';
export {
  type Divergence,
  digestsOf,
  divergedError,
  type FindDefinition,
  type ReadInput,
  type Recording,
  type Verification,
  verifyRun,
} from './verify.ts';
export {
  type AttemptStatus,
  type AttemptView,
  type ItemsView,
  itemsText,
  type RunView,
  type StepView,
  viewRun,
} from './view.ts';
