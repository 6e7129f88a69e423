/** What can happen next in a {@link FunctionsWorld}, and a world from its beginning to its end. */
import { isEnded } from '../../src/engine/index.ts';
import { FunctionsWorld, type FunctionsWorldOptions, WORKFLOW } from './functions-world.ts';

interface Action {
  readonly name: string;
  readonly weight: number;
  run(): unknown;
}

const MAX_STEPS = 20_000;

/** All microtasks there are, and what follows from them. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const START = { v: 1, kind: 'start', digest: 'd', payload: { n: 1 }, notify: '_INBOX.x' } as const;
/** Every other run is said to be fresh, though its start may come again: effects may then happen twice, the log stays right. */
const startOf = (runId: string) =>
  runId.charCodeAt(runId.length - 1) % 2 === 0 ? START : { ...START, fresh: true as const };

/** What people do while it storms. */
function meddle(world: FunctionsWorld): Promise<unknown> {
  const { chance } = world;
  const runId = chance.pick(world.runIds);
  const what = chance.weighted([
    { weight: 8, what: 'signal' },
    { weight: 1, what: 'cancel' },
    { weight: 3, what: 'retry' },
    { weight: 1, what: 'start' },
    { weight: 1, what: 'poison' },
    { weight: world.deep ? 2 : 0, what: 'resume' },
  ] as const).what;
  if (what === 'signal') return world.signal(runId, chance.pick(['go', 'ok', 'else']));
  if (what === 'cancel') return world.send(runId, { v: 1, kind: 'cancel', reason: 'enough' });
  if (what === 'retry') return world.send(runId, { v: 1, kind: 'retry' });
  if (what === 'start') return world.send(runId, startOf(runId));
  if (what === 'resume') return world.send(runId, { v: 1, kind: 'resume' });
  const poison = new TextEncoder().encode(chance.pick(['not json', '{"v":9}', '[]']));
  return world.outside.sendRaw({ workflow: WORKFLOW, runId }, poison).catch(() => undefined);
}

async function fire(world: FunctionsWorld, key: string, runId: string, timer: string): Promise<void> {
  const sent = await world.send(runId, { v: 1, kind: 'timer', timer }, `timer:${runId}:${timer}`);
  // A forwarder that dies after sending sends again.
  if (sent && !world.unlucky(0.1)) world.schedules.delete(key);
}

function stormActions(world: FunctionsWorld): Action[] {
  const { chance } = world;
  const actions: Action[] = [
    { name: 'clock', weight: 3, run: () => void (world.now += chance.pick([1, 100, 2_500, 130_000])) },
    { name: 'ack wait', weight: 0.7, run: () => world.expire(() => chance.happens(0.7)) },
    { name: 'meddle', weight: 1.5, run: () => void meddle(world) },
  ];
  if (world.staff.length > 0) {
    actions.push({ name: 'kill', weight: 0.4, run: () => world.kill(chance.pick(world.staff).client) });
    actions.push({
      name: 'hint',
      weight: 0.5,
      run: () => chance.pick(world.staff).host.wake(chance.pick(world.runIds)),
    });
  }
  const { serving } = world;
  if (serving.length > 0) actions.push({ name: 'drain', weight: 0.3, run: () => world.drain(chance.pick(serving)) });
  return actions;
}

function actionsOf(world: FunctionsWorld): readonly Action[] {
  const { chance, gate } = world;
  const actions: Action[] = [];
  if (gate.waiting.length > 0) actions.push({ name: 'open', weight: 30, run: () => world.openGate() });
  const deliverable = world.serving.length > 0 ? world.deliverable() : [];
  if (deliverable.length > 0) {
    actions.push({ name: 'deliver', weight: 15, run: () => world.deliver(chance.pick(deliverable)) });
  }
  if (world.pending.length > 0)
    actions.push({ name: 'effect', weight: 10, run: () => chance.pick(world.pending).end() });
  const local = world.timers.filter(({ at }) => at <= world.now);
  if (local.length > 0) {
    const run = (): void => {
      const timer = chance.pick(local);
      world.timers.splice(world.timers.indexOf(timer), 1);
      timer.then();
    };
    actions.push({ name: 'timer', weight: 8, run });
  }
  const due = [...world.schedules].filter(([, { at }]) => at <= world.now);
  if (due.length > 0) {
    const [key, { runId, timer }] = chance.pick(due);
    actions.push({ name: 'fire', weight: 6, run: () => fire(world, key, runId, timer) });
  }
  return world.stormy ? [...actions, ...stormActions(world)] : actions;
}

/** When nothing moves by itself: time, then signals that are waited for, and people who resume. */
async function nudge(world: FunctionsWorld): Promise<boolean> {
  if (world.jump()) return true;
  let sent = false;
  for (const runId of world.runIds) {
    const run = world.run(runId);
    if (isEnded(run)) continue;
    const names = Object.values(run.steps).flatMap(({ name, status }) =>
      status === 'waiting' && name.startsWith('signal:') ? [name.slice(7).replace(/#.*/, '')] : [],
    );
    if (Object.values(run.steps).some(({ status }) => status === 'paused')) {
      sent = (await world.send(runId, { v: 1, kind: 'resume' })) || sent;
    }
    for (const name of new Set(names)) sent = (await world.signal(runId, name)) || sent;
  }
  return sent;
}

/**
 * Runs a world to its end.
 * @throws when it does not come to an end
 */
export async function simulateFunctions(options: FunctionsWorldOptions): Promise<FunctionsWorld> {
  const world = new FunctionsWorld(options);
  await world.hire();
  // A trigger sends until it knows that its message is stored.
  for (const runId of world.topIds) while (!(await world.send(runId, startOf(runId), `start:${runId}`)));
  for (let step = 0; step < MAX_STEPS; step++) {
    if (world.storm > 0) world.storm--;
    if (world.serving.length === 0 || !world.stormy || world.chance.happens(0.05)) await world.hire();
    const actions = actionsOf(world);
    if (actions.length > 0) await world.chance.weighted(actions).run();
    else if (!world.stormy && !(await nudge(world))) return world;
    await settled();
    world.checkLeases();
  }
  const stuck = world.runIds.filter((runId) => !isEnded(world.run(runId)));
  throw new Error(
    `seed ${world.seed} did not come to rest in ${MAX_STEPS} steps: ${stuck.join(', ')}; ${[...world.surprises].join('; ')}`,
  );
}
