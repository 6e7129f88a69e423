/** Expressions compile, and name only steps whose output is there when they are evaluated. */
import {
  compileExpression,
  ITEM_VARIABLES,
  messageOf,
  START_VARIABLES,
  STEP_VARIABLES,
  TRIGGER_VARIABLES,
} from '../../kernel/index.ts';
import { type Finding, finding, type LintRule, type WorkflowManifest } from '../manifest.ts';
import { suggest } from '../nearest.ts';
import { upstream } from '../order.ts';
import type { FieldPath } from '../source.ts';

interface Use {
  readonly source: string;
  readonly path: FieldPath;
  readonly variables: readonly string[];
  /** The step it belongs to; none for a trigger's, and for the workflow's output, which may read every step. */
  readonly step?: string;
  /** It is evaluated when its own step has ended. */
  readonly afterwards?: true;
}

function usesOf(workflow: WorkflowManifest): readonly Use[] {
  const { triggers, steps, output, concurrency = [], rateLimit = [], singleton, priority } = workflow.value.spec;
  const uses: Use[] = [];
  if (output !== undefined) uses.push({ source: output, path: ['spec', 'output'], variables: STEP_VARIABLES });
  const ofStart = (source: string | undefined, ...path: FieldPath): void => {
    if (source !== undefined) uses.push({ source, path: ['spec', ...path], variables: START_VARIABLES });
  };
  ofStart(priority, 'priority');
  ofStart(singleton?.key, 'singleton', 'key');
  for (const [n, { key }] of concurrency.entries()) ofStart(key, 'concurrency', n, 'key');
  for (const [n, { key }] of rateLimit.entries()) ofStart(key, 'rateLimit', n, 'key');
  for (const [n, trigger] of triggers.entries()) {
    for (const field of ['debounce', 'batch'] as const) {
      const source = trigger[field]?.key;
      if (source === undefined) continue;
      uses.push({ source, path: ['spec', 'triggers', n, field, 'key'], variables: TRIGGER_VARIABLES });
    }
    for (const field of ['when', 'key'] as const) {
      const source = trigger[field];
      const path = ['spec', 'triggers', n, field];
      if (source !== undefined) uses.push({ source, path, variables: TRIGGER_VARIABLES });
    }
  }
  for (const [n, { name, when, with: members = {}, compensate, forEach }] of steps.entries()) {
    const of = { variables: STEP_VARIABLES, step: name };
    const each = forEach === undefined ? of : { variables: ITEM_VARIABLES, step: name };
    if (forEach !== undefined) {
      uses.push({ source: forEach.items, path: ['spec', 'steps', n, 'forEach', 'items'], ...of });
    }
    if (when !== undefined) uses.push({ source: when, path: ['spec', 'steps', n, 'when'], ...each });
    for (const [member, source] of Object.entries(members)) {
      uses.push({ source, path: ['spec', 'steps', n, 'with', member], ...each });
    }
    for (const [member, source] of Object.entries(compensate?.with ?? {})) {
      uses.push({ source, path: ['spec', 'steps', n, 'compensate', 'with', member], ...of, afterwards: true });
    }
  }
  return uses;
}

/** `steps.a-b` is a subtraction in CEL; people mean the step `a-b`. */
function compileHint(use: Use, stepNames: readonly string[]): string {
  const dashed = stepNames.find((name) => name.includes('-') && use.source.includes(`steps.${name}`));
  if (dashed !== undefined) return `"-" is minus in CEL; write steps["${dashed}"]`;
  return `variables here: ${use.variables.join(', ')}; text needs quotes of its own, for example '"text"'`;
}

/** Expressions that do not compile, and those that read a step which need not have ended by then. */
export const expressions: LintRule = ({ workflows }) =>
  workflows.flatMap((workflow) => {
    const { steps } = workflow.value.spec;
    const names = steps.map((step) => step.name);
    return usesOf(workflow).flatMap((use): readonly Finding[] => {
      try {
        const members = compileExpression(use.source, use.variables).members('steps');
        const read = use.afterwards === true ? members.filter((member) => member !== use.step) : members;
        return use.step === undefined
          ? unknownSteps(workflow, use, read, names)
          : unreachableSteps(workflow, use, use.step, read, names);
      } catch (error) {
        const hint = compileHint(use, names);
        return [
          finding(workflow, use.path, { rule: 'expression', code: 'MR_EXPRESSION', message: messageOf(error), hint }),
        ];
      }
    });
  });

function unknownSteps(
  workflow: WorkflowManifest,
  use: Use,
  members: readonly string[],
  names: readonly string[],
): readonly Finding[] {
  return members
    .filter((member) => !names.includes(member))
    .map((member) => {
      const message = `expression reads step "${member}", which is no step of this workflow`;
      const hint = suggest(member, names, 'steps');
      return finding(workflow, use.path, { rule: 'expression-step', code: 'MR_EXPRESSION', message, hint });
    });
}

function unreachableSteps(
  workflow: WorkflowManifest,
  use: Use,
  step: string,
  members: readonly string[],
  names: readonly string[],
): readonly Finding[] {
  const before = upstream(workflow.value.spec.steps, step);
  return members
    .filter((member) => !before.has(member))
    .map((member) => {
      const known = names.includes(member);
      const message = known
        ? `expression reads step "${member}", which "${step}" does not need`
        : `expression reads step "${member}", which is no step of this workflow`;
      const hint = known
        ? `add "${member}" to the needs of "${step}": only then has it ended`
        : suggest(member, [...before], `steps that "${step}" needs`);
      return finding(workflow, use.path, { rule: 'expression-step', code: 'MR_EXPRESSION', message, hint });
    });
}
