/**
 * Schedules under seeded faults: crashes at every call, doubles, lost acknowledgements, lost timers, three controllers.
 * Proves S1 to S8 and K1 to K3.
 *
 *   SEED=<n> npx vitest run --project simulation test/simulation/schedules.test.ts     one world, again, the same
 *   SEEDS=<n> …                                                                        as many worlds, from 1
 */
import { afterAll, describe, expect, test } from 'vitest';
import type { OverlapPolicy, ScheduleDefinition } from '../../src/engine/index.ts';
import { nextTime, OVERLAPS } from '../../src/schedules/index.ts';
import { evolveLine } from '../../src/schedules/model/evolve.ts';
import { newLine } from '../../src/schedules/model/line.ts';
import { Chance } from './chance.ts';
import { REF, SchedulesWorld } from './schedules-world.ts';

const ONLY = process.env['SEED'];
const COUNT = Number(process.env['SEEDS'] ?? 500);
const PER_TEST = 50;
const FRESH = 1_000_000 + Math.floor(Math.random() * 1_000_000_000);
const MINUTE = 60_000;

function specOf(chance: Chance): ScheduleDefinition {
  const when = chance.pick<Partial<ScheduleDefinition>>([
    { everyMs: MINUTE },
    { everyMs: 5 * MINUTE, offsetMs: 7_000 },
    { cron: '*/2 * * * *', timeZone: 'Europe/Berlin' },
    { cron: '*/20 * * * * *', timeZone: 'America/New_York' },
  ]);
  return {
    ...{ name: REF.line, ...when, overlap: chance.pick<OverlapPolicy>(OVERLAPS) },
    catchUp: { policy: chance.pick(['all', 'latest', 'none'] as const), windowMs: chance.pick([MINUTE, 60 * MINUTE]) },
    ...(chance.happens(0.3) ? { jitterMs: 15_000 } : {}),
  };
}

/** One thing that happens. */
async function happen(world: SchedulesWorld, n: number): Promise<void> {
  const { chance } = world;
  const what = chance.below(100);
  if (what < 35) return world.pass(chance.below(30_000));
  if (what < 38) return world.pass(chance.below(20 * MINUTE)); // nobody was there for a while
  if (what < 42)
    world.timer = undefined; // a timer is lost
  else if (what < 60) await world.keep();
  else if (what < 72 && world.open.length > 0) world.end(chance.pick(world.open));
  else if (what < 74) world.put({ v: 1, kind: chance.pick(['pause', 'resume']) }, `hand:${n}`);
  else if (what < 76) world.put({ v: 1, kind: 'trigger', id: `t${n}` }, `hand:${n}`);
  else if (what < 77 && world.last !== undefined) {
    const from = world.now - 10 * MINUTE;
    const overlap = chance.pick(['allow', 'bufferAll'] as const);
    world.put({ v: 1, kind: 'backfill', id: `b${n}`, from, to: world.now, overlap }, `hand:${n}`);
  } else {
    const some = world.waiting.filter(() => chance.happens(0.7));
    await world.deliver(some);
  }
}

/** Nothing fails any more: everything that is out comes to its end. */
async function settle(world: SchedulesWorld): Promise<void> {
  world.trouble = 0;
  world.put({ v: 1, kind: 'resume' }, 'resume at last');
  for (let round = 0; round < 3_000; round++) {
    await world.deliver(world.waiting);
    for (const run of world.open) world.end(run);
    world.pass(6_000);
    await world.keep();
    const { waiting = [], backfills = [], next } = world.last?.after ?? {};
    const quiet = world.waiting.length === 0 && world.open.length === 0 && waiting.length + backfills.length === 0;
    if (quiet && world.timer !== undefined && next?.due === world.timer && round > 30) return;
  }
  throw new Error('it does not come to rest');
}

function check(world: SchedulesWorld, spec: ScheduleDefinition): string[] {
  const problems: string[] = [];
  let state = newLine(REF);
  const outcomes = new Map<number, string[]>();
  const missed: { from: number; to: number }[] = [];
  const fired = new Set<string>();
  const filled = new Set<number>();
  let paused = false;
  for (const entry of world.log) {
    for (const t of entry.transitions) {
      if (t.type === 'RunFired') {
        if (t.start.why === 'time') outcomes.set(t.start.time, [...(outcomes.get(t.start.time) ?? []), 'fired']);
        if (paused && t.start.why === 'time' && !state.waiting.some(({ runId }) => runId === t.start.runId)) {
          problems.push(`S5: ${t.start.time} fired while paused`);
        }
        const many = state.backfills.some(({ id, overlap }) => id === t.start.of && overlap === 'allow');
        if (t.watched && !many && state.running.length > 0) problems.push('S2: two are open');
        // A backfill takes over what waits for the same time.
        if (t.start.why === 'backfill') filled.add(t.start.time);
        fired.add(t.start.runId);
      }
      if (t.type === 'RunSkipped' && t.why === 'time')
        outcomes.set(t.time, [...(outcomes.get(t.time) ?? []), 'skipped']);
      if (t.type === 'TimesMissed') missed.push(t);
      if (t.type === 'LinePaused') paused = true;
      if (t.type === 'LineResumed') paused = false;
      state = evolveLine(state, t, entry.at);
    }
    state = { ...state, lastInput: entry.cause, entries: state.entries + 1, lastEntry: entry.after.lastEntry };
    if (JSON.stringify(state) !== JSON.stringify(entry.after)) problems.push(`entry ${entry.seq} is not the fold`);
  }
  for (const [time, all] of outcomes) if (all.length !== 1) problems.push(`S1: ${time} was ${all.join(' and ')}`);
  for (const runId of fired) if (!world.runs.has(runId)) problems.push(`S6: ${runId} was fired and never started`);
  for (const runId of world.runs.keys()) if (!fired.has(runId)) problems.push(`${runId} runs and was never fired`);
  // Every time since it was set is accounted for: started, skipped, missed, or passed while it was paused.
  const begun = world.log[0]?.at ?? world.now;
  const pauses = pausesOf(world);
  for (let time = nextTime(spec, begun); time !== undefined && time <= state.cursor; time = nextTime(spec, time)) {
    const at = time;
    const known =
      outcomes.has(at) || filled.has(at) || [...missed, ...pauses].some(({ from, to }) => at >= from && at <= to);
    if (!known) problems.push(`S1: nothing was said about ${new Date(at).toISOString()}`);
  }
  return problems;
}

/** From the last time dealt with before a pause to its end. */
function pausesOf(world: SchedulesWorld): { from: number; to: number }[] {
  const found: { from: number; to: number }[] = [];
  let from: number | undefined;
  for (const { transitions, at, after } of world.log) {
    for (const { type } of transitions) {
      if (type === 'LinePaused') from = after.cursor;
      if (type === 'LineResumed' && from !== undefined) found.push({ from, to: at });
    }
  }
  return found;
}

async function world(seed: number): Promise<number> {
  const again = `seed ${seed}; run it again: SEED=${seed} npx vitest run --project simulation test/simulation/schedules.test.ts`;
  const spec = specOf(new Chance(seed + 0x5eed));
  const made = new SchedulesWorld(seed, spec);
  try {
    for (let n = 0; n < 150; n++) await happen(made, n);
    await settle(made);
  } catch (error) {
    throw new Error(`${again}: ${String(error)}`, { cause: error });
  }
  expect(check(made, spec), `${again} ${JSON.stringify(spec)}`).toEqual([]);
  return made.faults;
}

if (ONLY !== undefined) {
  test(`seed ${ONLY}`, async () => {
    await world(Number(ONLY));
  });
} else {
  describe('worlds of schedules', () => {
    let faults = 0;
    const firsts = Array.from({ length: Math.ceil(COUNT / PER_TEST) }, (_, i) => 1 + i * PER_TEST);
    test.each(firsts)('seeds from %i', async (first) => {
      for (let seed = first; seed < Math.min(first + PER_TEST, COUNT + 1); seed++) faults += await world(seed);
    });
    test(`fresh seeds from ${FRESH}`, async () => {
      for (let seed = FRESH; seed < FRESH + PER_TEST; seed++) faults += await world(seed);
    });
    afterAll(() => {
      console.log(
        `simulated ${COUNT + PER_TEST} worlds of schedules, ${faults} calls failed; fresh seeds from ${FRESH}`,
      );
      expect(faults).toBeGreaterThan(COUNT);
    });
  });
}
