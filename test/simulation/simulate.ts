import { isEnded, itemsOf } from '../../src/engine/index.ts';
import { actionsOf } from './actions.ts';
import { World, type WorldOptions } from './world.ts';

const MAX_STEPS = 20_000;

/** All microtasks there are, and what follows from them. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function begin(world: World): Promise<void> {
  for (const runId of world.runIds) {
    const list = [0, 1, 2, 3, 4].slice(world.chance.below(6));
    const payload = { flag: world.chance.happens(0.5), n: world.chance.below(4), list };
    const parent = { workflow: 'up', runId: 'p1', step: 's', attempt: 1, ...world.chance.pick([{}, { depth: 50 }]) };
    const more = world.chance.happens(0.3) ? { parent } : {};
    const start = { v: 1, kind: 'start', digest: world.definition.digest, payload, ...more } as const;
    // A trigger sends until it knows that its message is stored.
    while (!(await world.send(runId, start, `start:${runId}`)));
  }
}

/** When nothing moves by itself: time does, then the sweep, then somebody who resumes what is paused and sends the signals that are waited for. */
async function nudge(world: World): Promise<boolean> {
  if (world.jump()) return true;
  if (world.sweep() > 0) return true;
  let sent = false;
  for (const runId of world.runIds) {
    const run = world.run(runId);
    if (isEnded(run)) continue;
    if ([...Object.values(run.steps), ...itemsOf(run)].some(({ status }) => status === 'paused')) {
      sent = (await world.send(runId, { v: 1, kind: 'resume' })) || sent;
    }
    for (const { name, action } of world.definition.steps) {
      if (action.kind !== 'signal' || run.steps[name]?.status !== 'waiting') continue;
      sent = (await world.send(runId, { v: 1, kind: 'signal', name: action.name, payload: null })) || sent;
    }
  }
  return sent;
}

/**
 * Runs a world to its end.
 * @throws when it does not come to an end
 */
export async function simulate(options: WorldOptions): Promise<World> {
  const world = new World(options);
  await world.staff();
  await begin(world);
  for (let step = 0; step < MAX_STEPS; step++) {
    if (world.storm > 0) world.storm--;
    if (world.clients.length === 0 || !world.stormy || world.chance.happens(0.05)) await world.staff();
    const actions = actionsOf(world);
    if (actions.length > 0) await world.chance.weighted(actions).run();
    else if (!world.stormy && !(await nudge(world))) return world;
    await settled();
  }
  throw new Error(`the world of seed ${world.seed} did not come to rest within ${MAX_STEPS} steps`);
}
