/** What must be true of every world that has come to rest, whatever struck it. Each finding is one sentence. */
import {
  decide,
  evolveEntry,
  type InputBody,
  inputBodySchema,
  isEnded,
  newRun,
  type RunState,
  react,
  type StoredEntry,
  stepOf,
  TERMINAL_FLOW_STATES,
  type Transition,
} from '../../src/engine/index.ts';
import { spansOf } from '../../src/engine/run/spans.ts';
import { WORKFLOW, type World } from './world.ts';

const ENDS: ReadonlySet<Transition['type']> = new Set(['RunCompleted', 'RunFailed', 'RunCancelled']);

function parse(data: Uint8Array): InputBody | undefined {
  try {
    return inputBodySchema.parse(JSON.parse(new TextDecoder().decode(data)));
  } catch {
    return undefined;
  }
}

/**
 * The log is what one controller alone, without any fault, would have made of the inputs in the order of the stream. This
 * says at once that no input was lost, none counted twice, and none overtook another.
 */
function checkLog(world: World, runId: string, log: readonly StoredEntry[]): string[] {
  const found: string[] = [];
  let state: RunState = newRun(WORKFLOW, runId);
  const left = new Map(log.map((entry) => [entry.cause, entry]));
  for (const { seq, at, data } of world.broker.stream(WORKFLOW).inputs.get(runId) ?? []) {
    const body = parse(data);
    if (body === undefined) continue;
    const expected = decide(world.definition, state, { seq, at, body });
    const entry = left.get(seq);
    left.delete(seq);
    const got = entry?.transitions ?? [];
    if (JSON.stringify(got) !== JSON.stringify(expected)) {
      found.push(
        `${runId}: input ${seq} (${body.kind}) means ${JSON.stringify(expected)}, the log has ${JSON.stringify(got)}`,
      );
      return found;
    }
    if (entry !== undefined) state = evolveEntry(state, entry);
  }
  if (left.size > 0) found.push(`${runId}: entries without an input: ${[...left.keys()].join(', ')}`);
  if (new Set(log.map(({ cause }) => cause)).size !== log.length) found.push(`${runId}: an input has two entries`);
  return found;
}

function checkEnd(world: World, runId: string, log: readonly StoredEntry[]): string[] {
  const run = world.run(runId);
  const types = log.flatMap(({ transitions }) => transitions.map(({ type }) => type));
  const ends = types.filter((type) => ENDS.has(type)).length;
  const retries = types.filter((type) => type === 'RunRetried').length;
  const found: string[] = [];
  if (!isEnded(run)) found.push(`${runId} is stuck: ${JSON.stringify(run.steps)}`);
  else if (ends !== retries + 1) found.push(`${runId} ended ${ends} times with ${retries} retries`);
  if (Object.keys(run.timers).length > 0)
    found.push(`${runId} ended with timers ${Object.keys(run.timers).join(', ')}`);
  return found;
}

/** Everything the log asks for has been sent, and nothing it does not ask for. */
function checkCommands(world: World, runId: string, log: readonly StoredEntry[]): string[] {
  const found: string[] = [];
  const { events, handedOut, deadRuns, children, told } = world.receivers;
  const ends = new Map<string, string>();
  const wanted = new Set<string>();
  const tasks = new Map<string, string>();
  let dead = false;
  let state: RunState = newRun(WORKFLOW, runId);
  for (const entry of log) {
    react(world.definition, state, entry).forEach((command, index) => {
      if (command.kind === 'event') wanted.add(`evt:${runId}:${entry.seq}:${index}`);
      if (command.kind === 'task') tasks.set(`${command.step}/${command.attempt}`, JSON.stringify(command));
      if (command.kind === 'dead') dead = true;
      if (command.kind === 'child') tasks.set(command.child.runId, JSON.stringify(command));
      if (command.kind === 'parent') ends.set(`${runId}:${entry.seq}`, JSON.stringify(command));
    });
    state = evolveEntry(state, entry);
  }
  const got = [...events].filter((id) => id.startsWith(`evt:${runId}:`));
  for (const id of wanted) if (!events.has(id)) found.push(`${runId}: event ${id} was never published`);
  for (const id of got) if (!wanted.has(id)) found.push(`${runId}: event ${id} follows from nothing`);
  if (dead !== deadRuns.has(runId)) found.push(`${runId}: dead letter ${dead ? 'missing' : 'out of nothing'}`);
  for (const task of handedOut.filter((one) => one.runId === runId)) {
    const { step, attempt, idempotencyKey } = task.command;
    if (tasks.get(`${step}/${attempt}`) !== JSON.stringify(task.command)) {
      found.push(`${runId}: task ${step}/${attempt} is not what the log says`);
    }
    if (idempotencyKey.replace(/~\d+$/, '') !== `${runId}/${step}`)
      found.push(`${runId}: task ${step}/${attempt} has another key`);
  }
  for (const { command } of [...children.values()].filter((one) => one.runId === runId)) {
    if (tasks.get(command.child.runId) !== JSON.stringify(command)) {
      found.push(`${runId}: child ${command.step}/${command.attempt} is not what the log says`);
    }
  }
  const heard = [...told].filter(([id]) => id.startsWith(`${runId}:`));
  if (JSON.stringify(heard.sort()) !== JSON.stringify([...ends].sort())) {
    found.push(`${runId}: its parent was told ${JSON.stringify(heard)}, the log says ${JSON.stringify([...ends])}`);
  }
  return found;
}

function checkFlows(world: World): string[] {
  return [...world.prefect.flows].flatMap(([key, flow]) => {
    const known = stepOf(world.run(flow.runId), flow.step).flows[flow.attempt];
    if (!TERMINAL_FLOW_STATES.has(flow.state.type)) return [`flow run ${key} still runs`];
    return known?.state.type === flow.state.type
      ? []
      : [`flow run ${key} is ${flow.state.type}, the log says ${known?.state.type}`];
  });
}

function checkDelivery(world: World): string[] {
  const found: string[] = [];
  const open = world.broker.openInputs(WORKFLOW);
  if (open.length > 0) found.push(`${open.length} inputs were never acknowledged`);
  for (const inputs of world.broker.stream(WORKFLOW).inputs.values()) {
    for (const { seq, data } of inputs) {
      const buried = world.receivers.letters.some(({ origin }) => origin.sequence === seq);
      if (buried !== (parse(data) === undefined)) found.push(`input ${seq}: poison and dead letters disagree`);
    }
  }
  return found;
}

/** Each span that the log stands for was recorded at most once (a controller may die between append and span). */
function checkSpans(world: World): string[] {
  const left = new Map<string, number>();
  for (const runId of world.runIds) {
    let state: RunState = newRun(WORKFLOW, runId);
    for (const entry of world.log(runId)) {
      for (const span of spansOf(state, entry))
        left.set(JSON.stringify(span), (left.get(JSON.stringify(span)) ?? 0) + 1);
      state = evolveEntry(state, entry);
    }
  }
  return world.spans.flatMap((span) => {
    const text = JSON.stringify(span);
    const count = left.get(text) ?? 0;
    left.set(text, count - 1);
    return count > 0 ? [] : [`span ${span.name} ${span.spanId} was recorded once too often`];
  });
}

/** All findings; an empty list is a good world. */
export function check(world: World): readonly string[] {
  const runs = world.runIds.flatMap((runId) => {
    const log = world.log(runId);
    return [...checkLog(world, runId, log), ...checkEnd(world, runId, log), ...checkCommands(world, runId, log)];
  });
  const surprises = world.surprises.map((error) => `a handler threw ${String(error)}`);
  return [...runs, ...checkFlows(world), ...checkDelivery(world), ...checkSpans(world), ...surprises];
}
