/**
 * What a difference between the log and Prefect is called. Pure: it names what diff.ts has decided, and decides nothing.
 *
 * The list is closed; docs/reconciliation.md has a row for each class, and a test holds both to each other.
 */
import { TERMINAL_FLOW_STATES } from '../../engine/index.ts';
import type { Attempt } from './attempts.ts';
import type { Action, Live, Plan } from './diff.ts';

export const DRIFT_CLASSES = {
  'never-created': 'no flow run was ever created for the attempt',
  'created-unseen': 'a flow run was created, and the log does not know it',
  'deployment-gone': 'the deployment that the step names is not in Prefect',
  'deleted-there': 'the flow run that the log knows is not in Prefect any more',
  'dispatch-lost': 'the flow run is SCHEDULED, and no flow host has it or will get it',
  'claimed-and-died': 'the flow run is PENDING, and nobody holds it any more',
  zombie: 'the flow run is RUNNING, and nobody holds it any more',
  'state-unseen': 'Prefect has a state that the log has not heard of',
  'rescheduled-there': 'the flow run waits for another try in Prefect (AwaitingRetry, Late, or scheduled anew)',
  'paused-there': 'the flow run is paused or suspended in Prefect',
  'completed-unseen': 'the flow run COMPLETED, and its result has not reached the log',
  'failed-unseen': 'the flow run FAILED or CRASHED, and the log has not heard of it',
  'cancelled-there': 'somebody cancelled the flow run in Prefect',
  cancelling: 'the flow run is being cancelled, and its host is to stop it',
  'cancelling-stuck': 'the flow run is CANCELLING, and nobody stops it',
  'cancelled-here': 'the attempt was cancelled, and its flow run goes on',
  'ended-here': 'the attempt has ended, and its flow run goes on',
  'changed-by-hand': 'the flow run has another end than the log says, or was started again after its end',
  'restored-there': 'Prefect has an older state than the log has seen: its database was restored, or a state forced',
  'end-unrecorded': 'both sides have ended, and the log does not say how the flow run did',
  settling: 'the two differ, and whose turn it is still has time',
} as const;

export type DriftClass = keyof typeof DRIFT_CLASSES;

const has = (plan: Plan, kind: Action['kind']): boolean => plan.actions.some((action) => action.kind === kind);
const sets = (plan: Plan, type: string): boolean =>
  plan.actions.some((action) => action.kind === 'set' && action.type === type);

type Run = Extract<Live, { kind: 'run' }>;

/** Prefect's state is not the log's, and older than it by Prefect's own clock. */
function isOlder({ flow }: Attempt, { flowRunId, state }: Run): boolean {
  return flow?.flowRunId === flowRunId && flow.state.type !== state.type && state.at < flow.state.at;
}

function ofOpen(attempt: Attempt, live: Run, plan: Plan): DriftClass {
  const { type, name } = live.state;
  if (sets(plan, 'CRASHED')) return type === 'PENDING' ? 'claimed-and-died' : 'zombie';
  if (sets(plan, 'CANCELLING')) return 'cancelled-here';
  if (attempt.flow === undefined) return 'created-unseen';
  switch (type) {
    case 'SCHEDULED':
      if (has(plan, 'dispatch')) return 'dispatch-lost';
      return name === 'Scheduled' && isOlder(attempt, live) ? 'restored-there' : 'rescheduled-there';
    case 'PENDING':
    case 'RUNNING':
      return isOlder(attempt, live) ? 'restored-there' : 'state-unseen';
    case 'PAUSED':
      return 'paused-there';
    case 'COMPLETED':
      return 'completed-unseen';
    case 'FAILED':
    case 'CRASHED':
      return 'failed-unseen';
    case 'CANCELLED':
      return 'cancelled-there';
    case 'CANCELLING':
      return sets(plan, 'CANCELLED') ? 'cancelling-stuck' : 'cancelling';
  }
}

function ofOver(attempt: Attempt, live: Run, plan: Plan): DriftClass {
  const ended = TERMINAL_FLOW_STATES.has(live.state.type);
  const knownEnd = attempt.flow !== undefined && TERMINAL_FLOW_STATES.has(attempt.flow.state.type);
  if (has(plan, 'dispatch')) return 'completed-unseen';
  if (sets(plan, 'CANCELLED')) return 'cancelling-stuck';
  if (isOlder(attempt, live)) return 'restored-there';
  if (plan.actions.some(({ kind }) => kind === 'set') && (ended || knownEnd)) return 'changed-by-hand';
  if (live.state.type === 'CANCELLING') return 'cancelling';
  if (!ended) return attempt.verdict === 'cancelled' ? 'cancelled-here' : 'ended-here';
  return 'end-unrecorded';
}

/**
 * The class of the difference that the plan repairs.
 * @returns undefined when the plan does nothing: there is no difference, or none yet
 */
export function driftClassOf(attempt: Attempt, live: Live, plan: Plan): DriftClass | undefined {
  if (plan.actions.length === 0 || live.kind === 'unreachable') return undefined;
  if (live.kind === 'none') {
    if (attempt.flow !== undefined) return 'deleted-there';
    return has(plan, 'failMissingDeployment') ? 'deployment-gone' : 'never-created';
  }
  return attempt.verdict === 'open' ? ofOpen(attempt, live, plan) : ofOver(attempt, live, plan);
}

/** An action as a sentence for people. */
export function repairText(action: Action): string {
  switch (action.kind) {
    case 'create':
      return 'create the flow run';
    case 'dispatch':
      return action.action === 'run' ? 'hand it to a flow host' : 'ask a flow host for the result';
    case 'report':
      return `tell the run that it is ${action.state.type}`;
    case 'failMissingDeployment':
      return 'fail the step: MR_DEPLOYMENT_MISSING';
    case 'set':
      return `set it ${action.type} in Prefect${action.force ? ' by force' : ''}`;
    case 'stop':
      return 'tell its flow host to stop it';
  }
}
