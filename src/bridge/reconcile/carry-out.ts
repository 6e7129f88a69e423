/**
 * Carries out exactly the differences that a person has seen.
 *
 *   X1 nothing is done before all of them have been found unchanged;
 *   X2 each is looked at once more right before it is repaired, and left alone if it has changed since;
 *   X3 only the actions that were shown are carried out: what comes after them is the next plan's.
 */
import { MillraceError } from '../../kernel/index.ts';
import { type DifferencePorts, type Differences, differencesOf, type LoggedAttempt } from './difference.ts';
import type { Reconciler } from './reconciler.ts';

export interface CarriedOut {
  readonly repaired: number;
  /** Nothing was to be done yet. */
  readonly waiting: number;
  /** Changed between the check and its turn. */
  readonly moved: number;
}

/**
 * @param read the attempts of the plan's runs, as their logs tell them now
 * @throws MillraceError MR_PLAN_STALE naming what has changed; what the parts throw that a repair needs
 */
export async function carryOut(
  ports: DifferencePorts & { readonly reconciler: Reconciler },
  plan: Differences,
  read: () => Promise<readonly LoggedAttempt[]>,
  progress: (done: number, total: number) => void = () => undefined,
): Promise<CarriedOut> {
  const now = await differencesOf(ports, await read());
  const seals = new Set(now.differences.map(({ seal }) => seal));
  const changed = plan.differences.filter(({ seal }) => !seals.has(seal));
  if (changed.length > 0) throw stale(plan, changed.length, changed[0]);
  const outcome = { repaired: 0, waiting: 0, moved: 0 };
  for (const [index, one] of plan.differences.entries()) {
    if (one.repair.length === 0) outcome.waiting++;
    else if (await ports.reconciler.repair(one)) outcome.repaired++;
    else outcome.moved++;
    progress(index + 1, plan.differences.length);
  }
  return outcome;
}

function stale(plan: Differences, count: number, first: Differences['differences'][number] | undefined): MillraceError {
  const which = first === undefined ? '' : `, among them step ${first.step} of run ${first.runId} (${first.class})`;
  return new MillraceError(
    'MR_PLAN_STALE',
    `${count} of ${plan.differences.length} differences are not any more what the plan says${which}; nothing was done`,
    { hint: 'a controller may have repaired them, or somebody else; make a new plan with millrace reconcile --plan' },
  );
}
