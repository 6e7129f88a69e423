/** Names: each manifest, step and trigger has one of its own, and none takes one of ours. */
import { type Finding, finding, type LintRule, type Manifest } from '../manifest.ts';
import { type FieldPath, formatPath } from '../source.ts';

/** Prefixes of stream names that belong to Millrace and to the server. */
const RESERVED_STREAM = /^(MR|WF|KV|OBJ)_/;

function repeated(
  manifest: Manifest,
  names: readonly string[],
  what: string,
  path: (index: number) => FieldPath,
): readonly Finding[] {
  return names.flatMap((name, index) => {
    const first = names.indexOf(name);
    if (first === index) return [];
    return [
      finding(manifest, path(index), {
        rule: 'duplicate-name',
        message: `${what} "${name}" is there twice; the first is ${formatPath(path(first))}`,
        hint: 'rename or remove one of the two',
      }),
    ];
  });
}

/** Two manifests of one kind and name; two steps, triggers or needs of one name; two equal subjects. */
export const duplicateNames: LintRule = ({ streams, workflows }) => {
  const twice = (manifests: readonly Manifest[]): readonly Finding[] =>
    manifests.flatMap((manifest) => {
      const { name } = manifest.value.metadata;
      const first = manifests.find((other) => other.value.metadata.name === name);
      if (first === undefined || first === manifest) return [];
      const { file, line } = first.doc.place(['metadata', 'name']);
      return [
        finding(manifest, ['metadata', 'name'], {
          rule: 'duplicate-name',
          message: `${manifest.kind} "${name}" is described twice; the first is at ${file}:${line}`,
          hint: 'rename or remove one of the two',
        }),
      ];
    });
  const inside = workflows.flatMap((workflow) => {
    const { steps, triggers, schedules } = workflow.value.spec;
    const stepNames = steps.map((step) => step.name);
    const triggerNames = triggers.map((trigger) => trigger.name);
    const scheduleNames = schedules.map((schedule) => schedule.name);
    return [
      ...repeated(workflow, stepNames, 'step', (i) => ['spec', 'steps', i, 'name']),
      ...repeated(workflow, triggerNames, 'trigger', (i) => ['spec', 'triggers', i, 'name']),
      ...repeated(workflow, scheduleNames, 'schedule', (i) => ['spec', 'schedules', i, 'name']),
      ...steps.flatMap((step, n) => repeated(workflow, step.needs, 'need', (i) => ['spec', 'steps', n, 'needs', i])),
    ];
  });
  return [...twice(streams), ...twice(workflows), ...inside];
};

/** A stream under a name that Millrace or the server uses for its own. */
export const reservedStreamNames: LintRule = ({ streams }) =>
  streams
    .filter((stream) => RESERVED_STREAM.test(stream.value.metadata.name))
    .map((stream) =>
      finding(stream, ['metadata', 'name'], {
        rule: 'reserved-name',
        message: `"${stream.value.metadata.name}" is a reserved stream name`,
        hint: 'names that begin with MR_, WF_, KV_ or OBJ_ belong to Millrace and to the server; choose another',
      }),
    );
