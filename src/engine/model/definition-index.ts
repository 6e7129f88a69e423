/** What of a definition is looked up by name or followed along its edges, worked out once. Internal to the model. */
import type { CompensationDefinition, Definition, StepDefinition } from './definition.ts';
import { itemAt, undoName } from './state.ts';

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
  /** By the name of a step that is one of each item of a list: the items as steps, but for their names. */
  readonly items: ReadonlyMap<string, Omit<StepDefinition, 'name'>>;
  /** By name: all steps that it needs, and those that they need. Filled in as it is asked for. */
  readonly upstream: Map<string, ReadonlySet<string>>;
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
    items: new Map(steps.filter(({ forEach }) => forEach !== undefined).map((step) => [step.name, itemOf(step)])),
    upstream: new Map(),
  };
}

function itemOf(step: StepDefinition): Omit<StepDefinition, 'name'> {
  const { name: _n, when: _w, with: _i, forEach: _f, compensate: _c, ...item } = step;
  return { ...item, needs: [] };
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

/** The step of that name, if the definition has one; for `undo:<step>` what compensates the step, for `<step>#<n>` its item. */
export function findStep(definition: Definition, name: string): StepDefinition | undefined {
  const { byName, items } = indexOf(definition);
  const step = byName.get(name);
  if (step !== undefined || items.size === 0) return step;
  const at = itemAt(name);
  const item = at === undefined ? undefined : items.get(at.step);
  return item === undefined ? undefined : { ...item, name };
}

/** All steps that the step needs, and those that they need. */
export function needsOf(definition: Definition, name: string): ReadonlySet<string> {
  const { upstream, byName } = indexOf(definition);
  const known = upstream.get(name);
  if (known !== undefined) return known;
  const found = new Set<string>();
  const waiting = [...(byName.get(name)?.needs ?? [])];
  for (let need = waiting.pop(); need !== undefined; need = waiting.pop()) {
    if (found.has(need)) continue;
    found.add(need);
    waiting.push(...(byName.get(need)?.needs ?? []));
  }
  upstream.set(name, found);
  return found;
}
