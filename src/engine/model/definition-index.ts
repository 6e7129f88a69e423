/** What of a definition is looked up by name or followed along its edges, worked out once. Internal to the model. */
import type { Definition, StepDefinition } from './definition.ts';

export interface DefinitionIndex {
  readonly byName: ReadonlyMap<string, StepDefinition>;
  /** By place: the places of the steps that need it. */
  readonly dependents: readonly (readonly number[])[];
  /** By name: the place among the steps. */
  readonly places: ReadonlyMap<string, number>;
  /** Places of the steps that need nothing. */
  readonly roots: readonly number[];
  /** Steps that wait for a signal. */
  readonly signals: readonly StepDefinition[];
}

const known = new WeakMap<Definition, DefinitionIndex>();

export function indexOf(definition: Definition): DefinitionIndex {
  let index = known.get(definition);
  if (index === undefined) known.set(definition, (index = build(definition)));
  return index;
}

function build({ steps }: Definition): DefinitionIndex {
  const byName = new Map<string, StepDefinition>();
  const places = new Map<string, number>();
  const dependents: number[][] = steps.map(() => []);
  const roots: number[] = [];
  for (const [place, step] of steps.entries()) {
    if (byName.has(step.name)) continue;
    byName.set(step.name, step);
    places.set(step.name, place);
  }
  for (const [place, { needs }] of steps.entries()) {
    if (needs.length === 0) roots.push(place);
    for (const need of new Set(needs)) {
      const at = places.get(need);
      if (at !== undefined) dependents[at]?.push(place);
    }
  }
  return { byName, places, dependents, roots, signals: steps.filter(({ action }) => action.kind === 'signal') };
}

/** The step of that name, if the definition has one. */
export function findStep(definition: Definition, name: string): StepDefinition | undefined {
  return indexOf(definition).byName.get(name);
}
