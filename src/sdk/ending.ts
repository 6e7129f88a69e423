/** What a run of a declared workflow gave. Pure. */
import type { Definition, RunState } from '../engine/index.ts';
import { type Ending, endingOfState } from '../functions/index.ts';
import type { Json } from '../kernel/index.ts';

/** Outputs by name of the completed steps that no other needs. */
function lastOutputs({ steps }: Definition, state: RunState): Json {
  const needed = new Set(steps.flatMap(({ needs }) => needs));
  const last = steps.filter(({ name }) => !needed.has(name) && state.steps[name]?.status === 'completed');
  return Object.fromEntries(last.map(({ name }) => [name, state.steps[name]?.output ?? null]));
}

/** How it ended; undefined while it has not. @param definition the one the run began with, when it is known */
export function endingOfDeclared(state: RunState, definition: Definition | undefined): Ending | undefined {
  const ending = endingOfState(state);
  if (ending?.status !== 'completed' || state.output !== undefined || definition === undefined) return ending;
  return { status: 'completed', output: lastOutputs(definition, state) };
}
