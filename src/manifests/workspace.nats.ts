/** Manifests and the live system brought together: what `plan` and `apply` both begin with. */
import type { NatsConnection } from 'nats';
import { type Checked, checkManifests } from './check.ts';
import { checkDeployments, type Deployments } from './deployments.http.ts';
import { desiredState, fieldOf, type Live } from './live.ts';
import { observe } from './observe.nats.ts';
import { type Plan, planChanges } from './plan.ts';
import { isAcceptable } from './problem.ts';
import type { SourceFile } from './source.ts';

export interface PrepareOptions {
  readonly prune?: boolean;
  /** Replicas of everything whose manifest does not say (default 1). */
  readonly replicas?: number;
  /** Asked for the deployments that steps name, when given. */
  readonly deployments?: Deployments | undefined;
}

export interface Prepared {
  readonly checked: Checked;
  /** None when the manifests have errors. */
  readonly plan?: Plan;
}

function subjectsOf(live: Live): ReadonlyMap<string, readonly string[]> {
  return new Map(
    Object.entries(live.streams).map(([name, config]) => {
      const subjects = fieldOf(config, 'subjects');
      return [name, Array.isArray(subjects) ? subjects.map(String) : []] as const;
    }),
  );
}

/**
 * Checks the manifests against themselves and the live system, and plans.
 * @throws MillraceError MR_NATS_UNREACHABLE, MR_NATS_AUTH, MR_NATS
 */
export async function preparePlan(
  nc: NatsConnection,
  sources: readonly SourceFile[],
  options: PrepareOptions = {},
): Promise<Prepared> {
  const { replicas = 1, deployments } = options;
  const live = await observe(nc);
  const checked = checkManifests(sources, { liveStreams: subjectsOf(live), replicas });
  if (!isAcceptable(checked.problems)) return { checked };
  const plan = planChanges(desiredState(checked, replicas), live, { prune: options.prune ?? false });
  const advice = deployments === undefined ? [] : await checkDeployments(checked.definitions, deployments);
  return { checked, plan: { ...plan, problems: [...plan.problems, ...advice] } };
}
