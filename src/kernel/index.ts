export { type BackoffPolicy, backoffMs } from './backoff.ts';
export type { Clock, RandomSource } from './clock.ts';
export { formatDuration, parseDuration, tryParseDuration } from './duration.ts';
export {
  type ErrorCode,
  type ErrorDetails,
  formatPlace,
  isErrorCode,
  isMillraceError,
  MillraceError,
  messageOf,
  type Next,
  type Place,
} from './errors.ts';
export {
  compileExpression,
  type Expression,
  evaluateCondition,
  ITEM_VARIABLES,
  SCHEDULE_VARIABLES,
  START_VARIABLES,
  STEP_VARIABLES,
  TRIGGER_VARIABLES,
} from './expression.ts';
export { type GroupCommit, groupCommitOf, groupCommitSetting } from './group-commit.ts';
export {
  derivedFraction,
  derivedId,
  runIdOf,
  runIdOfKey,
  runIdOfTime,
  shortHash,
  spanIdOf,
  traceIdOfRun,
} from './ids.ts';
export { canonicalJson, isObject, type Json, type JsonObject } from './json.ts';
export { err, ok, type Result, unreachable } from './result.ts';
export * from './subjects.ts';
