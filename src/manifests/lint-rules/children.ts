/** Child runs: the workflow they are of is to be known. */
import { workflowStream } from '../../kernel/index.ts';
import { finding, type LintRule } from '../manifest.ts';
import { suggest } from '../nearest.ts';

/** A child's workflow that neither a manifest nor the server knows. It may be applied later, so this is a warning. */
export const childWorkflows: LintRule = ({ workflows, liveStreams }) => {
  const names = workflows.map(({ value }) => value.metadata.name);
  return workflows.flatMap((workflow) =>
    workflow.value.spec.steps.flatMap(({ name, run }, n) => {
      const child = run?.workflow;
      if (child === undefined || names.includes(child) || liveStreams?.has(workflowStream(child))) return [];
      const message = `step "${name}" runs workflow "${child}", which no manifest${liveStreams === undefined ? '' : ' and nothing on the server'} defines`;
      const hint = `${suggest(child, names, 'workflows here')}; without it the step fails with MR_WORKFLOW_MISSING`;
      const path = ['spec', 'steps', n, 'run', 'workflow'];
      return [finding(workflow, path, { rule: 'child-workflow', severity: 'warning', message, hint })];
    }),
  );
};
