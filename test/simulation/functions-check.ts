/** What must be true of every world of durable functions that has come to rest. Each finding is one sentence. */
import { isEnded, parseInput, type StoredEntry, type Transition } from '../../src/engine/index.ts';
import { endingOfState } from '../../src/functions/ending.ts';
import { Execution } from '../../src/functions/execution.ts';
import { type Ending, processPorts, workflow } from '../../src/functions/index.ts';
import { recall } from '../../src/functions/recall.ts';
import { type Json, ok } from '../../src/kernel/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { interpret, opsOf } from './functions-program.ts';
import { type FunctionsWorld, WORKFLOW } from './functions-world.ts';

const ENDS: ReadonlySet<Transition['type']> = new Set(['RunCompleted', 'RunFailed', 'RunCancelled']);
const RECORDS: ReadonlySet<Transition['type']> = new Set(['SignalReceived', 'TimerFired', 'StepResumed', 'ChildEnded']);
const CALLED_OFF: ReadonlySet<Transition['type']> = new Set(['StepCancelled', 'TimerCancelled']);

const transitionsOf = (log: readonly StoredEntry[]): Transition[] => log.flatMap(({ transitions }) => transitions);

function checkEnd(world: FunctionsWorld, runId: string, log: readonly StoredEntry[]): string[] {
  const run = world.run(runId);
  const found: string[] = [];
  let ended = false;
  for (const t of transitionsOf(log)) {
    if (t.type === 'RunRetried') ended = false;
    else if (ended && t.type !== 'SignalReceived') found.push(`${runId}: ${t.type} after its end`);
    if (ENDS.has(t.type)) ended = true;
  }
  if (!isEnded(run)) found.push(`${runId} is stuck: ${JSON.stringify(run)}`);
  if (Object.keys(run.timers).length > 0)
    found.push(`${runId} ended with timers ${Object.keys(run.timers).join(', ')}`);
  const waiting = Object.values(run.steps).filter(({ status }) => status === 'waiting' || status === 'paused');
  if (waiting.length > 0) found.push(`${runId} ended and waits: ${waiting.map(({ name }) => name).join(', ')}`);
  if (world.topIds.includes(runId) && !world.told.some((one) => one.runId === runId && one.status === run.status)) {
    // The host may have died between the end and the telling; then nobody is told.
    if (world.crashes + world.drains === 0) found.push(`${runId}: nobody was told of its end`);
  }
  return found;
}

function checkResults(world: FunctionsWorld, runId: string, log: readonly StoredEntry[]): string[] {
  const found: string[] = [];
  const ended = new Set<string>();
  const given = new Set<string>();
  for (const t of transitionsOf(log)) {
    if (t.type === 'RunRetried') for (const step of t.steps) ended.delete(step);
    if (t.type !== 'StepCompleted' && t.type !== 'StepFailed') continue;
    if (ended.has(t.step)) found.push(`${runId}: two results of ${t.step}`);
    ended.add(t.step);
    if (t.type === 'StepFailed' || t.output === null) continue;
    const output = t.output as { v?: string; s?: string };
    if (output.v !== undefined && !world.made.has(output.v)) found.push(`${runId}: ${t.step} never gave ${output.v}`);
    if (output.v === undefined && output.s === undefined) continue;
    const key = JSON.stringify(t.output);
    if (given.has(key)) found.push(`${runId}: ${key} was given twice`);
    given.add(key);
  }
  return found;
}

function checkSignals(world: FunctionsWorld, runId: string, log: readonly StoredEntry[]): string[] {
  const found: string[] = [];
  const received = transitionsOf(log).flatMap((t) => (t.type === 'SignalReceived' ? [JSON.stringify(t.payload)] : []));
  for (const { seq, data } of world.broker.stream(WORKFLOW).inputs.get(runId) ?? []) {
    const parsed = parseInput(data);
    if (!parsed.ok) {
      if (!world.refused.has(seq)) found.push(`${runId}: poison ${seq} was not refused`);
      continue;
    }
    const body = parsed.value;
    if (body.kind !== 'signal') continue;
    const times = received.filter((one) => one === JSON.stringify(body.payload)).length;
    const least = world.run(runId).status === 'completed' ? 0 : 1;
    if (times > 1 || times < least)
      found.push(`${runId}: signal ${JSON.stringify(body.payload)} is ${times} times in the log`);
  }
  return found;
}

/** F20 to F23: a child is started once, its parent has its end, and it does not outlive a parent that it was to end with. */
function checkChildren(world: FunctionsWorld, runId: string, log: readonly StoredEntry[]): string[] {
  const found: string[] = [];
  const starts = transitionsOf(log).filter(({ type }) => type === 'RunStarted').length;
  if (starts !== 1) found.push(`${runId} was started ${starts} times`);
  const { steps } = world.run(runId);
  for (const { name, status, child, output, error } of Object.values(steps)) {
    if (child?.wait !== true) continue;
    if (status === 'scheduled') found.push(`${runId} ended, and ${name} waits for ${child.runId}`);
    const run = world.run(child.runId);
    const ending = endingOfState(run);
    if (status === 'completed' && JSON.stringify(output) !== JSON.stringify(run.output)) {
      found.push(`${runId}: ${name} has another result than its child ${child.runId}`);
    }
    // A retry by hand may have changed how the child ended since.
    if (status === 'failed' && run.retries === 0 && (ending === undefined || ending.status === 'completed')) {
      found.push(`${runId}: ${name} failed (${error?.message}), its child ${child.runId} has not`);
    }
    const cancelled = world.inputsOf(child.runId).some((body) => body.kind === 'cancel' || body.kind === 'kill');
    if (status === 'cancelled' && child.onClose === 'cancel' && run.status !== 'new' && !cancelled) {
      found.push(`${runId}: ${name} was cancelled, its child ${child.runId} was not`);
    }
  }
  return found;
}

/** F7 and F10: only the run's executor writes; others may say that an input came. */
function checkAuthors(world: FunctionsWorld, runId: string, log: readonly StoredEntry[]): string[] {
  const found: string[] = [];
  let owner: string | undefined;
  for (const { seq, transitions } of log) {
    const author = world.authors.get(seq);
    for (const t of transitions) if (t.type === 'RunStarted' || t.type === 'RunClaimed') owner = t.worker;
    const cancel =
      transitions.at(-1)?.type === 'RunCancelled' && transitions.slice(0, -1).every((t) => CALLED_OFF.has(t.type));
    const record = transitions.every(({ type }) => RECORDS.has(type));
    if (author !== owner && !record && !cancel)
      found.push(`${runId}: entry ${seq} is ${author}'s, the run was ${owner}'s`);
    if (transitions.length === 0) found.push(`${runId}: entry ${seq} is empty`);
  }
  return found;
}

/** The log without its end, and what its end called off. */
function withoutEnd(log: readonly StoredEntry[]): readonly StoredEntry[] {
  const last = log.findLastIndex(({ transitions }) => transitions.some(({ type }) => ENDS.has(type)));
  const entry = log[last];
  if (entry === undefined) return log;
  const kept = [...entry.transitions];
  while (
    kept.length > 0 &&
    (ENDS.has(kept.at(-1)?.type ?? 'RunSuspended') || CALLED_OFF.has(kept.at(-1)?.type ?? 'RunSuspended'))
  )
    kept.pop();
  return [...log.slice(0, last), { ...entry, transitions: kept }];
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** F4 and F5: the code, executed again on what was recorded, ends the same way, and nothing recorded happens again. */
async function checkReplay(world: FunctionsWorld, runId: string, log: readonly StoredEntry[]): Promise<string[]> {
  const ending = endingOfState(world.run(runId));
  if (ending === undefined || ending.status === 'cancelled') return [];
  const recalled = recall(WORKFLOW, runId, withoutEnd(log));
  const found: string[] = [];
  let got: Ending | undefined;
  const fn = workflow<Json, Json>(WORKFLOW, {}, (ctx, input) =>
    interpret(ctx, opsOf(input, world.program), (_, { idempotencyKey }) => {
      const id = idempotencyKey.slice(runId.length + 1);
      if (recalled.order.includes(id)) found.push(`${runId}: ${id} began again on replay`);
      return new Promise(() => {});
    }),
  );
  const execution = new Execution({ workflow: WORKFLOW, runId }, fn as never, {
    worker: 'replay',
    cause: recalled.lease,
    at: world.now,
    recalled,
    owner: {
      rested: () => {},
      ended: (_, how) => (got = how),
      lost: (_, { error }) => found.push(`${runId}: replay was lost: ${String(error)}`),
    },
    ports: {
      ...processPorts,
      telemetry: noTelemetry,
      now: () => world.now,
      after: () => () => {},
      append: async () => ok(9_999_999),
      entries: async () => [],
      setTimer: async () => {},
      family: { start: async () => {}, close: async () => {}, tell: async () => {} },
      cancelTimer: () => {},
    },
  });
  execution.begin(recalled.state.payload);
  for (let turn = 0; turn < 20 && got === undefined; turn++) await settled();
  if (JSON.stringify(got) !== JSON.stringify(ending)) {
    found.push(`${runId}: replay ends ${JSON.stringify(got)}, the log has ${JSON.stringify(ending)}`);
  }
  execution.discard();
  return found;
}

/** All findings; an empty list is a good world. */
export async function checkFunctions(world: FunctionsWorld): Promise<readonly string[]> {
  const found: string[] = [...world.surprises];
  for (const runId of world.runIds) {
    const log = world.log(runId);
    found.push(...checkEnd(world, runId, log), ...checkResults(world, runId, log));
    found.push(
      ...checkSignals(world, runId, log),
      ...checkAuthors(world, runId, log),
      ...checkChildren(world, runId, log),
    );
    found.push(...(await checkReplay(world, runId, log)));
  }
  const open = world.broker.openInputs(WORKFLOW);
  if (open.length > 0) found.push(`${open.length} inputs were never acknowledged`);
  for (const { client, draining } of world.staff) if (draining) found.push(`${client} never ended its drain`);
  return found;
}
