/** What can happen next in a {@link World}, with weights; one of them does. */
import type { InputBody, RunEnding } from '../../src/engine/index.ts';
import type { Child, Task } from './receivers.ts';
import { WORKFLOW, type World } from './world.ts';

export interface Action {
  readonly name: string;
  readonly weight: number;
  run(): void | Promise<void>;
}

const MAX_DELIVERIES = 5;

function taskInput(task: Task, more: object): InputBody {
  const { step, attempt } = task.command;
  return { v: 1, step, attempt, ...more } as InputBody;
}

function drop<T>(items: T[], item: T): void {
  const index = items.indexOf(item);
  if (index >= 0) items.splice(index, 1);
}

/** A worker goes one step further with a task, or dies. */
async function work(world: World, task: Task): Promise<void> {
  const { runId, command } = task;
  const id = `${runId}:${command.step}:${command.attempt}`;
  if (task.phase === undefined) {
    if (task.deliveries >= MAX_DELIVERIES) {
      const error = { code: 'MR_STEP_EXHAUSTED', message: 'given up', retryable: true, lost: true };
      if (await world.send(runId, taskInput(task, { kind: 'task.failed', error }), `exhausted:${id}`)) {
        drop(world.receivers.tasks, task);
      }
      return;
    }
    task.deliveries++;
    task.phase = 'taken';
    return;
  }
  if (world.unlucky(0.08)) {
    task.phase = undefined; // the worker died; the server will hand the task to another
    return;
  }
  if (task.phase === 'taken') {
    // A short attempt is reported once, by its result.
    if (world.chance.happens(0.5)) {
      await world.send(runId, taskInput(task, { kind: 'task.started', worker: 'w' }), `started:${id}`);
    }
    task.begunAt = world.now;
    task.phase = 'begun';
  } else if (task.phase === 'begun') {
    const { chance } = world;
    if (chance.happens(0.2)) {
      const details = chance.happens(0.5) ? { details: chance.below(9) } : {};
      await world.send(runId, taskInput(task, { kind: 'task.heartbeat', worker: 'w', ...details }));
      return;
    }
    const error = {
      code: chance.pick(['MR_STEP_FAILED', 'HOPELESS', 'MR_CANCELLED']),
      message: 'no',
      retryable: chance.happens(0.9),
      lost: false,
    };
    const begun = { worker: 'w', startedAt: task.begunAt };
    const result = chance.happens(0.75)
      ? { kind: 'task.succeeded', ...begun, output: chance.below(5) }
      : { kind: 'task.failed', ...begun, error };
    if (await world.send(runId, taskInput(task, result), `result:${id}`)) task.phase = 'done';
  } else {
    drop(world.receivers.tasks, task);
  }
}

async function fire(world: World, key: string, runId: string, timer: string, at: number): Promise<void> {
  const sent = await world.send(runId, { v: 1, kind: 'timer', timer, at }, `timer:${runId}:${timer}:${at}`);
  // A forwarder that dies after sending sends again; a timer that was set meanwhile is another one.
  if (sent && !world.unlucky(0.1) && world.receivers.timers.get(key)?.at === at) world.receivers.timers.delete(key);
}

/** A child that somebody waits for ends; one that nobody does says that it was started. */
async function endChild(world: World, child: Child): Promise<void> {
  const { chance } = world;
  const { step, attempt, child: ref } = child.command;
  const { workflow, runId, wait } = ref;
  const ending = chance.weighted<{ weight: number; ending: RunEnding }>([
    { weight: 6, ending: { status: 'completed', output: wait ? chance.below(5) : { workflow, runId } } },
    { weight: 2, ending: { status: 'failed', error: { code: 'MR_X', message: 'no', retryable: true, lost: false } } },
    { weight: 1, ending: { status: 'cancelled', reason: 'enough' } },
  ]).ending;
  const how: RunEnding = child.phase === 'closed' ? { status: 'cancelled', reason: 'its parent' } : ending;
  const body: InputBody = { v: 1, kind: 'child', step, attempt, workflow, runId, ending: how };
  if (await world.send(child.runId, body, `child:${runId}`)) child.phase = 'ended';
}

/** What people do while it storms. */
function meddle(world: World): Promise<unknown> {
  const { chance } = world;
  const runId = chance.pick(world.runIds);
  const body = chance.weighted<{ weight: number; body: InputBody | undefined }>([
    { weight: 10, body: { v: 1, kind: 'signal', name: chance.pick(['ok', 'go']), payload: chance.below(9) } },
    { weight: 1, body: { v: 1, kind: 'cancel', reason: 'enough' } },
    { weight: 1, body: { v: 1, kind: 'cancel', reason: 'soon', graceMs: chance.pick([1_000, 60_000]) } },
    { weight: 0.5, body: { v: 1, kind: 'kill', reason: 'now' } },
    { weight: 3, body: { v: 1, kind: 'resume' } },
    { weight: 4, body: { v: 1, kind: 'retry' } },
    { weight: 1, body: undefined },
  ]).body;
  if (body !== undefined) return world.send(runId, body);
  const poison = new TextEncoder().encode(chance.pick(['not json', '{"v":9}', '[]']));
  return world.outside.sendRaw({ workflow: WORKFLOW, runId }, poison).catch(() => undefined);
}

function controllerActions(world: World): Action[] {
  const { chance, gate } = world;
  const deliverable = world.clients.length > 0 ? world.deliverable() : [];
  const actions: Action[] = [];
  if (gate.waiting.length > 0) {
    actions.push({ name: 'open', weight: 30, run: () => world.openGate() });
  }
  if (deliverable.length > 0) {
    actions.push({ name: 'deliver', weight: 15, run: () => world.deliver(chance.pick(deliverable)) });
  }
  if (!world.stormy) return actions;
  actions.push({ name: 'clock', weight: 3, run: () => void (world.now += chance.pick([1, 100, 5_000, 130_000])) });
  actions.push({ name: 'ack wait', weight: 0.5, run: () => world.broker.expireAckWait(WORKFLOW) });
  if (world.clients.length > 0) {
    actions.push({ name: 'kill', weight: 0.5, run: () => world.kill(chance.pick(world.clients)) });
  }
  actions.push({ name: 'meddle', weight: 1, run: () => void meddle(world) });
  return actions;
}

function outsideActions(world: World): Action[] {
  const { chance, receivers, prefect } = world;
  const actions: Action[] = [];
  if (receivers.tasks.length > 0) {
    actions.push({ name: 'work', weight: 10, run: () => work(world, chance.pick(receivers.tasks)) });
  }
  const children = [...receivers.children.values()].filter(({ phase }) => phase !== 'ended');
  if (children.length > 0) {
    actions.push({ name: 'child', weight: 6, run: () => endChild(world, chance.pick(children)) });
  }
  const due = [...receivers.timers].filter(([, { at }]) => at <= world.now);
  if (due.length > 0) {
    const [key, { runId, timer, at }] = chance.pick(due);
    actions.push({ name: 'fire', weight: 6, run: () => fire(world, key, runId, timer, at) });
  }
  if (receivers.keys.length > 0) {
    const key = chance.pick(receivers.keys);
    const look = (): void => {
      drop(receivers.keys, key);
      if (!world.unlucky(0.2)) prefect.reconcile(key, world.run(key.runId), world.stormy); // the queue is a hint
    };
    actions.push({ name: 'reconcile', weight: 6, run: look });
  }
  const running = prefect.running();
  if (running.length > 0) {
    actions.push({ name: 'flow', weight: 6, run: () => prefect.progress(chance.pick(running), world.stormy) });
  }
  if (prefect.reports.length > 0) {
    const report = chance.pick(prefect.reports);
    const { runId, flowRunId, state } = report;
    const { runId: _, ...body } = report;
    const send = async (): Promise<void> => {
      const input: InputBody = { v: 1, kind: 'flow', ...body, ...(state.type === 'COMPLETED' ? { result: 1 } : {}) };
      if (await world.send(runId, input, `flow:${flowRunId}:${state.type}`)) drop(prefect.reports, report);
    };
    actions.push({ name: 'report', weight: 8, run: send });
  }
  return actions;
}

export function actionsOf(world: World): readonly Action[] {
  return [...controllerActions(world), ...outsideActions(world)];
}
