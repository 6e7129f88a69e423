/**
 * The whole comparison, once: every Prefect attempt of every run, against Prefect. For the demo's summary, `millrace doctor`,
 * `millrace reconcile` and the chaos tests.
 */
import { findStep, itemAt, type Journal, type ReconcileKey } from '../engine/index.ts';
import { idempotencyKeyOf } from './key.ts';
import type { PrefectApi } from './prefect/index.ts';
import {
  agrees,
  attemptsOf,
  type DefinitionSource,
  type Live,
  type LoggedAttempt,
  liveByKey,
  type Verdict,
} from './reconcile/index.ts';

export interface Disagreement extends ReconcileKey {
  /** Empty when the log knows of none. */
  readonly flowRunId: string;
  /** How the attempt stands in the log. */
  readonly stream: Verdict;
  /** Type of the flow run's state, `none` when there is no flow run. */
  readonly prefect: string;
}

export interface Comparison {
  /** Attempts of Prefect steps. */
  readonly total: number;
  readonly agree: number;
  readonly disagreements: readonly Disagreement[];
}

/** Runs read from the journal at once. */
const AT_ONCE = 16;

/**
 * Compares all runs of the workflows. Reads every log: minutes for millions of runs, a moment for a demo.
 * @throws MillraceError what journal and Prefect throw
 */
export async function compareAll(
  journal: Pick<Journal, 'entries' | 'runIds'>,
  prefect: Pick<PrefectApi, 'filterFlowRuns'>,
  definitions: Pick<DefinitionSource, 'byDigest'>,
  workflows: readonly string[],
): Promise<Comparison> {
  const compared = await loggedAttempts(journal, definitions, workflows);
  const live = await liveByKey(prefect, compared);
  const disagreements = compared.flatMap(({ key, attempt }): Disagreement[] => {
    const found = live.get(idempotencyKeyOf(key));
    // One that is being created has no state yet: for the comparison there is none.
    const side: Live = found?.kind === 'run' ? found : { kind: 'none' };
    if (agrees(attempt, side)) return [];
    const seen = side.kind === 'run' ? side.state.type : 'none';
    const flowRunId = attempt.flow?.flowRunId ?? (side.kind === 'run' ? side.flowRunId : '');
    return [{ ...key, flowRunId, stream: attempt.verdict, prefect: seen }];
  });
  return { total: compared.length, agree: compared.length - disagreements.length, disagreements };
}

/**
 * The attempts of Prefect steps of all runs of the workflows.
 * @throws MillraceError what the journal throws
 */
export async function loggedAttempts(
  journal: Pick<Journal, 'entries' | 'runIds'>,
  definitions: Pick<DefinitionSource, 'byDigest'>,
  workflows: readonly string[],
): Promise<readonly LoggedAttempt[]> {
  const found: LoggedAttempt[] = [];
  for (const workflow of workflows) {
    found.push(...(await attemptsOfRuns(journal, definitions, workflow, await journal.runIds(workflow))));
  }
  return found;
}

async function attemptsOfRuns(
  journal: Pick<Journal, 'entries'>,
  definitions: Pick<DefinitionSource, 'byDigest'>,
  workflow: string,
  runIds: readonly string[],
): Promise<LoggedAttempt[]> {
  const found: LoggedAttempt[] = [];
  for (let i = 0; i < runIds.length; i += AT_ONCE) {
    const logs = runIds.slice(i, i + AT_ONCE).map(async (runId) => {
      const run = attemptsOf(await journal.entries({ workflow, runId }));
      const definition = await definitions.byDigest(workflow, run.digest);
      return [...run.attempts.values()].flatMap((attempt): LoggedAttempt[] => {
        const step = itemAt(attempt.step)?.step ?? attempt.step; // an item of a fan-out is done as its step is
        const action = definition === undefined ? undefined : findStep(definition, step)?.action;
        const deployment = action?.kind === 'prefect' ? action.deployment : undefined;
        if (deployment === undefined && attempt.flow === undefined) return [];
        return [{ key: { workflow, runId, step: attempt.step, attempt: attempt.attempt }, attempt, deployment }];
      });
    });
    found.push(...(await Promise.all(logs)).flat());
  }
  return found;
}
