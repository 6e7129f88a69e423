export { type ApplyOptions, applyPlan, impossible } from './apply.nats.ts';
export { type Checked, type CheckOptions, checkManifests } from './check.ts';
export {
  type DefinitionStore,
  type DefinitionVersion,
  type DefinitionWatch,
  openDefinitions,
} from './definitions.nats.ts';
export { checkDeployments, type Deployments, deploymentsOverHttp } from './deployments.http.ts';
export type { FieldChange } from './diff.ts';
export { type Ensured, ensureAssets } from './ensure.nats.ts';
export { readManifests, writePlanFile } from './files.node.ts';
export { countActions, formatAction, formatPlan, signOf } from './format-plan.ts';
export { type Desired, desiredState, fieldOf, fingerprintOf, type Live } from './live.ts';
export { normalizeStream, normalizeWorkflow } from './normalize.ts';
export { observe } from './observe.nats.ts';
export { type Action, type Drift, driftOf, type Plan, planChanges } from './plan.ts';
export { formatPlanFile, parsePlanFile } from './plan-file.ts';
export { countProblems, formatProblem, isAcceptable, type Problem } from './problem.ts';
export { digestOf, openSealed, sealDefinition, type Unsealed } from './seal.ts';
export type { SourceFile } from './source.ts';
export { covers, overlaps } from './subject-match.ts';
export { type Prepared, type PrepareOptions, preparePlan } from './workspace.nats.ts';
