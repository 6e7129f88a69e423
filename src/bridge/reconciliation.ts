/** Reconciling by a person: the differences as a plan, and the plan carried out. For `millrace reconcile`. */
import { type NatsDoor, systemClock } from '../drivers/index.ts';
import type { Journal, ReconcileKey } from '../engine/index.ts';
import type { Clock } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import { loggedAttempts } from './compare.ts';
import type { PrefectApi } from './prefect/index.ts';
import {
  type CarriedOut,
  carryOut,
  type DefinitionSource,
  type Differences,
  differencesOf,
  openDispatches,
  Reconciler,
} from './reconcile/index.ts';

export interface ReconciliationOptions {
  readonly door: NatsDoor;
  readonly journal: Journal;
  readonly definitions: DefinitionSource;
  readonly prefect: PrefectApi;
  readonly telemetry: Telemetry;
  readonly clock?: Clock;
}

export type Tick = (done: number, total: number) => void;

export interface Reconciliation {
  /**
   * Compares all attempts of the workflows' runs. Changes nothing.
   * @throws MillraceError what journal, JetStream and Prefect throw
   */
  plan(workflows: readonly string[], progress?: Tick): Promise<Differences>;
  /**
   * Carries out exactly the plan.
   * @throws MillraceError MR_PLAN_STALE when a difference is not what it was; nothing is done then
   */
  apply(plan: Differences, progress?: Tick): Promise<CarriedOut>;
}

export function openReconciliation(options: ReconciliationOptions): Reconciliation {
  const { door, journal, definitions, prefect, telemetry, clock = systemClock } = options;
  const dispatches = openDispatches(door);
  const reconciler = new Reconciler({ journal, definitions, prefect, dispatches, clock, telemetry });
  const ports = { prefect, dispatches, clock };
  return {
    async plan(workflows, progress) {
      return differencesOf(ports, await loggedAttempts(journal, definitions, workflows), progress);
    },
    apply(plan, progress) {
      const workflows = [...new Set(plan.differences.map(({ workflow }) => workflow))];
      const runs = new Set(plan.differences.map(runText));
      const read = async () =>
        (await loggedAttempts(journal, definitions, workflows)).filter(({ key }) => runs.has(runText(key)));
      return carryOut({ ...ports, reconciler }, plan, read, progress);
    },
  };
}

const runText = ({ workflow, runId }: Pick<ReconcileKey, 'workflow' | 'runId'>): string => `${workflow}/${runId}`;
