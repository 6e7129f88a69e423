import type { LintRule } from '../manifest.ts';
import { handlerCollisions, heartbeatOrder, idleSettings, missingTimeouts, oneAction, retryOrder } from './actions.ts';
import { childWorkflows } from './children.ts';
import { expressions } from './expressions.ts';
import { idleQueues, limitsOnce, sharedLimits } from './flow.ts';
import { duplicateNames, reservedStreamNames } from './names.ts';
import { cycles, unknownNeeds } from './needs.ts';
import { retentionAges } from './retention.ts';
import { schedules } from './schedules.ts';
import { duplicateWindows, evenReplicas, overlappingSubjects, reservedSubjects } from './streams.ts';
import { gatheringTriggers, triggerStreams, triggerSubjects, workQueueTriggers } from './triggers.ts';

/** All rules; the order does not matter, problems are sorted by place. */
export const LINT_RULES: readonly LintRule[] = [
  childWorkflows,
  cycles,
  duplicateNames,
  duplicateWindows,
  evenReplicas,
  expressions,
  gatheringTriggers,
  handlerCollisions,
  heartbeatOrder,
  idleQueues,
  idleSettings,
  limitsOnce,
  missingTimeouts,
  oneAction,
  overlappingSubjects,
  reservedStreamNames,
  reservedSubjects,
  retentionAges,
  retryOrder,
  schedules,
  sharedLimits,
  triggerStreams,
  triggerSubjects,
  unknownNeeds,
  workQueueTriggers,
];
