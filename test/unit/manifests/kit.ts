/** Checks YAML text, and says what was found in one comparable line per problem. */
import { type Checked, checkManifests, type Problem } from '../../../src/manifests/index.ts';

export const HEAD = 'apiVersion: millrace/v1\nkind: Workflow\nmetadata: {name: w}\nspec:\n';
export const STREAM = 'apiVersion: millrace/v1\nkind: Stream\nmetadata: {name: S}\nspec:\n';

export function check(...texts: readonly string[]): Checked {
  return checkManifests(texts.map((text, index) => ({ file: index === 0 ? 'm.yaml' : `m${index}.yaml`, text })));
}

/** `error MR_CODE rule 5:3 spec.path` */
export function line({ severity, code, rule, place }: Problem): string {
  const at = `${place.line}:${place.column}`;
  return [severity, code, rule, at, place.path].filter((part) => part !== undefined).join(' ');
}

export const found = (...texts: readonly string[]): readonly string[] => check(...texts).problems.map(line);
