/** `needs`: they name steps of the same workflow, and never lead back to where they came from. */
import { type Finding, finding, type LintRule, type WorkflowManifest } from '../manifest.ts';
import { suggest } from '../nearest.ts';

/** A need that names no step. */
export const unknownNeeds: LintRule = ({ workflows }) =>
  workflows.flatMap((workflow) => {
    const { steps } = workflow.value.spec;
    const names = steps.map((step) => step.name);
    return steps.flatMap((step, n) =>
      step.needs.flatMap((need, i) => {
        if (names.includes(need)) return [];
        const others = names.filter((name) => name !== step.name);
        return [
          finding(workflow, ['spec', 'steps', n, 'needs', i], {
            rule: 'unknown-need',
            message: `step "${step.name}" needs "${need}", which is no step of this workflow`,
            hint: suggest(need, others, 'other steps'),
          }),
        ];
      }),
    );
  });

/** The cycles of the needs, each once, as the way through it: `[a, b, a]`. */
function cyclesOf(workflow: WorkflowManifest): readonly (readonly string[])[] {
  const needs = new Map<string, readonly string[]>();
  for (const step of workflow.value.spec.steps) if (!needs.has(step.name)) needs.set(step.name, step.needs);
  const finished = new Set<string>();
  const cycles: string[][] = [];
  const visit = (name: string, way: readonly string[]): void => {
    const start = way.indexOf(name);
    if (start >= 0) {
      cycles.push([...way.slice(start), name]);
      return;
    }
    if (finished.has(name)) return;
    for (const need of needs.get(name) ?? []) visit(need, [...way, name]);
    finished.add(name);
  };
  for (const name of needs.keys()) visit(name, []);
  return cycles;
}

/** Steps that wait for each other, shown as the way round: `a → b → a`. */
export const cycles: LintRule = ({ workflows }) =>
  workflows.flatMap((workflow) => {
    const { steps } = workflow.value.spec;
    return cyclesOf(workflow).flatMap((cycle): readonly Finding[] => {
      const [first, second] = cycle;
      const n = steps.findIndex((step) => step.name === first);
      const i = second === undefined ? -1 : (steps[n]?.needs.indexOf(second) ?? -1);
      if (n < 0 || i < 0) return [];
      const self = cycle.length === 2;
      return [
        finding(workflow, ['spec', 'steps', n, 'needs', i], {
          rule: 'cycle',
          code: 'MR_MANIFEST_CYCLE',
          message: self ? `step "${first}" needs itself` : `the needs go round in a circle: ${cycle.join(' → ')}`,
          hint: 'no run could ever end; remove one of these needs',
        }),
      ];
    });
  });
