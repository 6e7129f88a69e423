/**
 * The differences of all attempts as a value: to be shown, kept in a file, and carried out later if the world is still so.
 * Boundary: reads both sides in bulk (200 flow runs a call); changes nothing (carry-out.ts does).
 */
import type { ReconcileKey } from '../../engine/index.ts';
import { type Clock, shortHash } from '../../kernel/index.ts';
import { idempotencyKeyOf, keyText } from '../key.ts';
import { flowStateOf, type PrefectApi } from '../prefect/index.ts';
import type { Attempt, Verdict } from './attempts.ts';
import { DRIFT_CLASSES, type DriftClass, driftClassOf, repairText } from './classes.ts';
import { Deployments } from './deployments.ts';
import { type Action, agrees, diff, type Live, type Plan } from './diff.ts';
import { type Dispatches, NOT_QUEUED } from './ports.ts';

/** An attempt of a Prefect step, as its log tells it. */
export interface LoggedAttempt {
  readonly key: ReconcileKey;
  readonly attempt: Attempt;
  readonly deployment: string | undefined;
}

/** One difference, and what is meant to be done about it. */
export interface Difference extends ReconcileKey {
  readonly class: DriftClass;
  /** Empty when there is none. */
  readonly flowRunId: string;
  /** How the attempt stands in the log. */
  readonly ours: Verdict;
  /** Type of the flow run's state, `none` without a flow run. */
  readonly theirs: string;
  readonly reason: string;
  /** For people; empty when there is nothing to do yet. */
  readonly repair: readonly string[];
  /** Tells this difference from what it would be if anything that matters had changed. */
  readonly seal: string;
}

export interface Differences {
  readonly v: 1;
  /** ms since the epoch. */
  readonly at: number;
  readonly looked: number;
  readonly differences: readonly Difference[];
}

export interface DifferencePorts {
  readonly prefect: Pick<PrefectApi, 'filterFlowRuns' | 'deploymentByName'>;
  readonly dispatches: Pick<Dispatches, 'queued'>;
  readonly clock: Clock;
}

/** Flow runs asked for at once: Prefect's page. */
const CHUNK = 200;

/** The kinds of a plan's actions with what distinguishes them: what must not have changed until it is carried out. */
export function actionsSeal(actions: readonly Action[]): string {
  return actions
    .map((action) => {
      switch (action.kind) {
        case 'set':
          return `set ${action.type}`;
        case 'report':
          return `report ${action.state.type}`;
        case 'dispatch':
          return `dispatch ${action.action}`;
        default:
          return action.kind;
      }
    })
    .join(', ');
}

/** The difference of one attempt; undefined where both sides agree and nothing is to be done. */
export function differenceOf(key: ReconcileKey, attempt: Attempt, live: Live, plan: Plan): Difference | undefined {
  const named = driftClassOf(attempt, live, plan) ?? (agrees(attempt, live) ? undefined : 'settling');
  if (named === undefined) return undefined;
  const theirs = live.kind === 'run' ? live.state.type : 'none';
  const flowRunId = live.kind === 'run' ? live.flowRunId : (attempt.flow?.flowRunId ?? '');
  const facts = [keyText(key), named, flowRunId, attempt.verdict, theirs, actionsSeal(plan.actions)];
  return {
    ...{ workflow: key.workflow, runId: key.runId, step: key.step, attempt: key.attempt },
    class: named,
    flowRunId,
    ours: attempt.verdict,
    theirs,
    reason: DRIFT_CLASSES[named],
    repair: plan.actions.map(repairText),
    seal: shortHash(facts.join('\n')),
  };
}

/**
 * Compares the attempts with Prefect.
 * @param progress told how many have been compared
 * @throws MillraceError what Prefect throws
 */
export async function differencesOf(
  ports: DifferencePorts,
  attempts: readonly LoggedAttempt[],
  progress: (done: number, total: number) => void = () => undefined,
): Promise<Differences> {
  const { prefect, dispatches, clock } = ports;
  const deployments = new Deployments(prefect, clock);
  const differences: Difference[] = [];
  for (let from = 0; from < attempts.length; from += CHUNK) {
    const chunk = attempts.slice(from, from + CHUNK);
    const live = await liveByKey(prefect, chunk);
    const queued = await dispatches.queued();
    for (const { key, attempt, deployment } of chunk) {
      const theirs = live.get(idempotencyKeyOf(key)) ?? { kind: 'none' };
      const creating = theirs.kind === 'none' && attempt.verdict === 'open' && attempt.flow === undefined;
      const facts = {
        now: clock.now(),
        queued: theirs.kind === 'run' ? (queued.get(theirs.flowRunId) ?? NOT_QUEUED) : undefined,
        deploymentExists:
          creating && deployment !== undefined ? (await deployments.idOf(deployment)) !== undefined : undefined,
      };
      const found = differenceOf(key, attempt, theirs, diff(attempt, theirs, facts));
      if (found !== undefined) differences.push(found);
    }
    progress(Math.min(from + CHUNK, attempts.length), attempts.length);
  }
  return { v: 1, at: clock.now(), looked: attempts.length, differences };
}

/** Prefect's side by idempotency key: it also finds flow runs that the log never heard of. */
export async function liveByKey(
  prefect: Pick<PrefectApi, 'filterFlowRuns'>,
  attempts: readonly LoggedAttempt[],
): Promise<ReadonlyMap<string, Live>> {
  const live = new Map<string, Live>();
  if (attempts.length === 0) return live;
  const idempotencyKeys = attempts.map(({ key }) => idempotencyKeyOf(key));
  for (const run of await prefect.filterFlowRuns({ idempotencyKeys })) {
    if (!run.idempotency_key) continue;
    const theirs: Live = run.state
      ? { kind: 'run', flowRunId: run.id, state: flowStateOf(run.state) }
      : { kind: 'unreachable', reason: 'no state yet' };
    live.set(run.idempotency_key, theirs);
  }
  return live;
}
