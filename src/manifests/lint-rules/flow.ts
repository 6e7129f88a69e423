/** Flow control: limits of one name are one limit, queues that are limited are used. */
import type { LimitPolicy } from '../../engine/index.ts';
import { type Finding, finding, type LintRule, type WorkflowManifest } from '../manifest.ts';
import { limitsOf } from '../normalize.ts';
import type { FieldPath } from '../source.ts';

interface Use {
  readonly workflow: WorkflowManifest;
  readonly path: FieldPath;
  readonly limit: string;
  readonly policy: string;
}

/** Limits that other workflows may name as well. */
function sharedBy(workflow: WorkflowManifest): readonly Use[] {
  const { concurrency = [], rateLimit = [], queues = {} } = workflow.value.spec;
  const policies = new Map(limitsOf(workflow.value)?.map(({ limit, policy }) => [limit, policy] as const));
  const use = (limit: string, path: FieldPath, policy: LimitPolicy | undefined): Use => ({
    workflow,
    path: ['spec', ...path],
    limit,
    policy: JSON.stringify(policy),
  });
  const named = ({ name }: { readonly name?: string | undefined }, kind: string, field: string, n: number): Use[] =>
    name === undefined ? [] : [use(`${kind}:${name}`, [field, n], policies.get(`${kind}:${name}`))];
  return [
    ...concurrency.flatMap((one, n) => named(one, 'shared', 'concurrency', n)),
    ...rateLimit.flatMap((one, n) => named(one, 'rate', 'rateLimit', n)),
    ...Object.entries(queues).map(([name, { concurrency: slots }]) =>
      use(`queue:${name}`, ['queues', name], { slots, onFull: 'queue' }),
    ),
  ];
}

/** A limit that workflows share has one policy: else it would be that of whoever asked last. */
export const sharedLimits: LintRule = ({ workflows }) => {
  const uses = workflows.flatMap(sharedBy);
  return uses.flatMap(({ workflow, path, limit, policy }, index): readonly Finding[] => {
    const first = uses.slice(0, index).find((other) => other.limit === limit && other.policy !== policy);
    if (first === undefined) return [];
    const message = `${limit} is limited otherwise in ${first.workflow.value.metadata.name}`;
    const hint = 'workflows that share a limit say the same of it: the same numbers, the same onFull';
    return [finding(workflow, path, { rule: 'shared-limit', message, hint })];
  });
};

/** A name that is used twice in one workflow would be asked twice by one run, which never gets both. */
export const limitsOnce: LintRule = ({ workflows }) =>
  workflows.flatMap((workflow) =>
    (['concurrency', 'rateLimit'] as const).flatMap((field) => {
      const names = (workflow.value.spec[field] ?? []).map(({ name }) => name);
      return names.flatMap((name, n): readonly Finding[] => {
        if (name === undefined || names.indexOf(name) === n) return [];
        const message = `${field} names "${name}" twice`;
        return [
          finding(workflow, ['spec', field, n, 'name'], { rule: 'limit-once', message, hint: 'give it another name' }),
        ];
      });
    }),
  );

/** A limited queue that no step of the workflow uses. */
export const idleQueues: LintRule = ({ workflows }) =>
  workflows.flatMap((workflow) => {
    const { queues = {}, steps } = workflow.value.spec;
    const used = new Set(steps.map(({ run }) => (run?.worker === undefined ? undefined : (run.queue ?? 'default'))));
    return Object.keys(queues)
      .filter((name) => !used.has(name))
      .map((name) =>
        finding(workflow, ['spec', 'queues', name], {
          rule: 'no-effect',
          severity: 'warning',
          target: 'key',
          message: `no step of this workflow uses queue "${name}"`,
          hint: 'limit a queue in each workflow whose steps use it; remove it here',
        }),
      );
  });
