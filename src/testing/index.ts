/** The test kit: `import { testEnvironment } from 'millrace/testing'`. docs/testing.md shows it. */

export type { Code, HistoryInput, RunHistory } from '../functions/index.ts';
export { TestEnvironment, type TestOptions, type TestStart, testEnvironment } from './environment.node.ts';
export { everyFault, type FaultReport, type Scenario } from './every-fault.node.ts';
export type { Injection, Point, PointName } from './faults.ts';
export type { Mock } from './mocks.ts';
export { assertReplays } from './replays.node.ts';
export { TestRun } from './run.ts';
export type { TestEvent, TestLetter } from './server.ts';
export {
  cancel,
  failed,
  given,
  givenRun,
  Outcome,
  RunOutcome,
  signal,
  start,
  succeeded,
  timer,
} from './spec.node.ts';
