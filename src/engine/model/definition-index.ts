/** What of a definition is looked up by name or followed along its edges, worked out once. Internal to the model. */
import type { CompensationDefinition, Definition, StepDefinition } from './definition.ts';
import { undoName } from './state.ts';

export interface DefinitionIndex {
  readonly byName: ReadonlyMap<string, StepDefinition>;
  /** By place: the places of the steps that need it. */
  readonly dependents: readonly (readonly number[])[];
  /** By name: the place among the steps. */
  readonly places: ReadonlyMap<string, number>;
  /** Places of the steps that need nothing. */
  readonly roots: readonly number[];
  /** Its runs, or attempts of one of its queues, ask for slots. */
  readonly limited: boolean;
  /** Steps that wait for a signal. */
  readonly signals: readonly StepDefinition[];
}

const known = new WeakMap<Definition, DefinitionIndex>();

export function indexOf(definition: Definition): DefinitionIndex {
  let index = known.get(definition);
  if (index === undefined) known.set(definition, (index = build(definition)));
  return index;
}

function build({ steps, limits }: Definition): DefinitionIndex {
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
  for (const step of steps) {
    if (step.compensate !== undefined) byName.set(undoName(step.name), undoOf(step.name, step.compensate));
  }
  const limited =
    (limits?.length ?? 0) > 0 || steps.some(({ action }) => action.kind === 'worker' && action.limit !== undefined);
  return {
    byName,
    places,
    dependents,
    roots,
    limited,
    signals: steps.filter(({ action }) => action.kind === 'signal'),
  };
}

/** A compensation as a step: handed out, tried again and paused as any other. */
function undoOf(name: string, how: CompensationDefinition): StepDefinition {
  const { handler, queue, retry, timeoutMs } = how;
  return {
    name: undoName(name),
    needs: [],
    action: { kind: 'worker', handler, queue },
    retry,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

/** The step of that name, if the definition has one; for `undo:<step>` what compensates the step. */
export function findStep(definition: Definition, name: string): StepDefinition | undefined {
  return indexOf(definition).byName.get(name);
}
