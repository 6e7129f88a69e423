/** evolve(state, transition) → state: what a line's log means. */
import { unreachable } from '../../kernel/index.ts';
import type { Backfill, LineRun, LineStart, LineState, LineTransition } from './line.ts';

/** Ids remembered; more than come within a duplicate window, few enough to be part of every entry. */
const REMEMBERED = 100;

function without<T, K extends keyof T>(value: T, ...names: readonly K[]): Omit<T, K> {
  const copy = { ...value };
  for (const name of names) delete copy[name];
  return copy;
}

/** Times of a schedule move its cursor; those of a backfill its own. */
function dealt(
  state: LineState,
  { why, time, of }: Pick<LineStart, 'why' | 'time' | 'of'>,
  started: number,
): LineState {
  if (why === 'time') return { ...state, cursor: Math.max(state.cursor, time) };
  if (why !== 'backfill') return state;
  const move = (one: Backfill): Backfill =>
    one.id === of ? { ...one, cursor: Math.max(one.cursor, time), started: one.started + started } : one;
  return { ...state, backfills: state.backfills.map(move) };
}

function seen(state: LineState, id: string): LineState {
  return { ...state, seen: [...state.seen, id].slice(-REMEMBERED) };
}

function fired(state: LineState, start: LineStart, watched: boolean, at: number): LineState {
  const { runId, time, of } = start;
  const run: LineRun = { runId, time, at, ...(of === undefined ? {} : { of }) };
  return {
    ...dealt(state, start, 1),
    running: watched ? [...state.running, run] : state.running,
    waiting: state.waiting.filter((one) => one.runId !== runId),
    counts: { ...state.counts, started: state.counts.started + 1 },
    last: { runId, time, at },
  };
}

/** What a transition makes of the state. @param at the entry's time, ms since the epoch */
export function evolveLine(state: LineState, t: LineTransition, at: number): LineState {
  switch (t.type) {
    case 'LineSet': {
      // A new description begins now: what was due under the old one has been dealt with.
      const { spec } = t;
      return { ...state, spec, cursor: Math.max(state.cursor, at) };
    }
    case 'LineRemoved':
      return { ...without(state, 'spec', 'next', 'paused'), waiting: [], backfills: [] };
    case 'RunFired':
      return fired(state, t.start, t.watched, at);
    case 'RunBuffered':
      return { ...dealt(state, t.start, 0), waiting: [...state.waiting, t.start] };
    case 'RunSkipped': {
      const counts = { ...state.counts, skipped: state.counts.skipped + 1 };
      const waiting = state.waiting.filter(({ runId }) => runId !== t.runId);
      return { ...dealt(state, t, 0), counts, waiting };
    }
    case 'TimesMissed':
      return { ...state, cursor: Math.max(state.cursor, t.to) };
    case 'RunAdopted':
      return { ...state, running: [...state.running, { runId: t.runId, time: at, at }] };
    case 'StopAsked': {
      const stop = t.kill ? 'kill' : 'cancel';
      return { ...state, running: state.running.map((run) => (run.runId === t.runId ? { ...run, stop } : run)) };
    }
    case 'RunEnded':
      return { ...state, running: state.running.filter(({ runId }) => runId !== t.runId) };
    case 'NextSet':
      return { ...state, next: { time: t.time, due: t.due } };
    case 'NextCleared':
      return without(state, 'next') as LineState;
    case 'LinePaused': {
      const { type: _type, ...why } = t;
      return { ...state, paused: { ...why, at } };
    }
    case 'LineResumed':
      return { ...(without(state, 'paused') as LineState), cursor: Math.max(state.cursor, at) };
    case 'BackfillBegun': {
      const { id, from, to, overlap } = t;
      const backfill: Backfill = { id, from, to, overlap, cursor: from - 1, started: 0 };
      return { ...state, backfills: [...state.backfills, backfill] };
    }
    case 'BackfillEnded':
      return { ...state, backfills: state.backfills.filter(({ id }) => id !== t.id) };
    case 'IdSeen':
      return seen(state, t.id);
    default:
      return unreachable(t);
  }
}
