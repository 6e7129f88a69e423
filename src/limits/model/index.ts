export { decideLimit, type LimitDecision, type LimitInput } from './decide.ts';
export { foldLimit, LimitDraft } from './evolve.ts';
export { type LimitCommand, reactLimit } from './react.ts';
export {
  AGING_MS,
  type Ask,
  FORGET_AFTER_MS,
  type Held,
  hasRoom,
  isIdle,
  type LimitState,
  MAX_WAITING,
  nameOf,
  newLimit,
  rateAllowsAt,
  sameHolder,
  turnOf,
} from './state.ts';
export { type LimitEntry, type LimitTransition, limitEntryOf, type StoredLimitEntry } from './transitions.ts';
