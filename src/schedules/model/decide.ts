/**
 * decideLine(state, input) → transitions, and the commands that follow from them. Pure: time is the input's own, and what was
 * seen of open runs is part of it.
 *
 *   S1 a time of a schedule is dealt with once: started, skipped, or counted as missed, in the order of the times; its run's
 *      id follows from schedule and time;
 *   S2 but for `allow` no start of a line begins while a run that it watches is open;
 *   S3 an input that was decided changes nothing when it is decided again: a trigger, a backfill and a replacing run are known
 *      by their ids, all else by what has become of it;
 *   S4 after every decision the timer is set for what comes next, and there is none when nothing does;
 *   S5 nothing starts while the schedule is paused, and what passes meanwhile is not caught up.
 */
import type { ScheduleDefinition } from '../../engine/index.ts';
import { canonicalJson, derivedId, runIdOfTime, unreachable } from '../../kernel/index.ts';
import { dueTime, latestTime, nextTime } from '../times.ts';
import { LineDraft } from './draft.ts';
import type { Backfill, LineCommand, LineInput, LineInputBody, LineStart, LineState, LineTransition } from './line.ts';
import { admit } from './overlap.ts';

/** Later than this after its due time a start was missed, and the catch-up policy has the word. */
export const LATE_MS = 10_000;
/** Runs that a backfill with `allow` has open at once. */
const BACKFILL_OPEN = 20;

type Body<K extends LineInputBody['kind']> = Extract<LineInputBody, { kind: K }>;

const isPaused = ({ spec, paused }: LineState): boolean => paused !== undefined || spec?.paused === true;

function startAt(state: LineState, time: number): LineStart {
  return { runId: runIdOfTime(state.workflow, state.line, time), time, why: 'time' };
}

/** Lets times go by up to `to`. */
function miss(draft: LineDraft, from: number, to: number, reason: string): void {
  if (to >= from) draft.emit({ type: 'TimesMissed', from, to, reason });
}

/** A time that nobody was there for. Gives whether it is to start all the same. */
function catchUp(draft: LineDraft, spec: ScheduleDefinition, time: number, now: number): boolean {
  const { policy, windowMs } = spec.catchUp;
  // Up to here every time is late, whatever its jitter; one that is late by just LATE_MS is not.
  const late = Math.max(time, now - LATE_MS - (spec.jitterMs ?? 0) - 1);
  const oldest = now - windowMs;
  if (policy === 'none') {
    miss(draft, time, late, 'catchUp: none');
    return false;
  }
  if (policy === 'latest') {
    const last = latestTime(spec, late) ?? time;
    if (last > time) {
      miss(draft, time, last - 1, `catchUp: latest, which is ${new Date(last).toISOString()}`);
      return false; // the next look takes that one
    }
  }
  if (time >= oldest) return true;
  miss(draft, time, Math.max(time, Math.min(late, oldest - 1)), `older than the catch-up window of ${windowMs} ms`);
  return false;
}

/** Deals with the times that are due. Gives whether some are left for the next input. */
function advance(draft: LineDraft, now: number): boolean {
  const { spec } = draft.state;
  if (spec === undefined || isPaused(draft.state)) return false;
  for (;;) {
    const time = nextTime(spec, draft.state.cursor);
    if (time === undefined) return false;
    const due = dueTime(draft.state.workflow, spec, time);
    if (due > now) return false;
    if (!draft.hasRoom) return true;
    if (now - due > LATE_MS && !catchUp(draft, spec, time, now)) continue;
    admit(draft, startAt(draft.state, time), spec.overlap);
  }
}

function drain(draft: LineDraft): void {
  while (draft.state.running.length === 0) {
    const [first] = draft.state.waiting;
    if (first === undefined) return;
    draft.fire(first, true);
  }
}

/** Starts what the backfill may. Gives whether more could start at once. */
function fill(draft: LineDraft, spec: ScheduleDefinition, { id, to, overlap }: Backfill): boolean {
  for (;;) {
    const { running, waiting, backfills, workflow, line } = draft.state;
    const cursor = backfills.find((one) => one.id === id)?.cursor ?? to;
    const time = nextTime(spec, cursor);
    if (time === undefined || time > to) {
      draft.emit({ type: 'BackfillEnded', id });
      return false;
    }
    const own = running.filter(({ of }) => of === id).length;
    const free = overlap === 'allow' ? own < BACKFILL_OPEN : running.length === 0 && waiting.length === 0;
    if (!free) return false;
    if (!draft.hasRoom) return true;
    draft.fire({ runId: runIdOfTime(workflow, line, time), time, why: 'backfill', of: id }, true);
  }
}

function setNext(draft: LineDraft, more: boolean): void {
  const { spec, next, cursor, workflow } = draft.state;
  const time = spec === undefined || isPaused(draft.state) ? undefined : nextTime(spec, cursor);
  const wanted = more
    ? { time: draft.at, due: draft.at }
    : spec === undefined || time === undefined
      ? undefined
      : { time, due: dueTime(workflow, spec, time) };
  if (wanted === undefined) {
    if (next !== undefined) draft.emit({ type: 'NextCleared' });
  } else if (next?.due !== wanted.due || next.time !== wanted.time) draft.emit({ type: 'NextSet', ...wanted });
}

const optional = <K extends string, V>(name: K, value: V | undefined): { readonly [P in K]?: V } =>
  (value === undefined ? {} : { [name]: value }) as { readonly [P in K]?: V };

function replaceRun(draft: LineDraft, body: Body<'replace'>, ended: ReadonlySet<string>): void {
  const { runId, known, payload, by, trace, attributes } = body;
  if (draft.state.seen.includes(runId)) return;
  draft.emit({ type: 'IdSeen', id: runId });
  const { running } = draft.state;
  for (const one of known) {
    if (one === runId || ended.has(one) || running.some((run) => run.runId === one)) continue;
    draft.emit({ type: 'RunAdopted', runId: one });
  }
  const given = { ...optional('by', by), ...optional('trace', trace), ...optional('attributes', attributes) };
  admit(draft, { runId, time: draft.at, why: 'replace', payload, ...given }, 'terminateRunning');
}

function take(draft: LineDraft, body: LineInputBody, ended: ReadonlySet<string>): void {
  const { spec, seen } = draft.state;
  switch (body.kind) {
    case 'set': {
      const wanted = body.spec as ScheduleDefinition;
      if (spec === undefined || canonicalJson({ ...spec }) !== canonicalJson({ ...wanted })) {
        draft.emit({ type: 'LineSet', spec: wanted });
      }
      return;
    }
    case 'remove':
      if (spec !== undefined) draft.emit({ type: 'LineRemoved' });
      return;
    case 'pause':
      if (spec === undefined || draft.state.paused !== undefined) return;
      return draft.emit({ type: 'LinePaused', ...optional('by', body.by), ...optional('reason', body.reason) });
    case 'resume':
      if (draft.state.paused !== undefined) draft.emit({ type: 'LineResumed', ...optional('by', body.by) });
      return;
    case 'trigger': {
      if (spec === undefined || seen.includes(body.id)) return;
      draft.emit({ type: 'IdSeen', id: body.id });
      const runId = derivedId('schedule', draft.state.workflow, draft.state.line, 'trigger', body.id);
      const start: LineStart = { runId, time: draft.at, why: 'trigger', ...optional('by', body.by) };
      return admit(draft, start, body.overlap ?? spec.overlap);
    }
    case 'backfill': {
      if (spec === undefined || seen.includes(body.id)) return;
      draft.emit({ type: 'IdSeen', id: body.id });
      const { id, from, to, overlap, by } = body;
      // What lies ahead is the schedule's own.
      return draft.emit({
        ...{ type: 'BackfillBegun', id, from, to: Math.min(to, draft.state.cursor), overlap },
        ...optional('by', by),
      });
    }
    case 'replace':
      return replaceRun(draft, body, ended);
    case 'due':
    case 'look':
      return;
    default:
      return unreachable(body);
  }
}

/** The time of a decision, and of its entry. A timer is believed to be due: the clocks of a cluster's servers differ. */
export function timeOf({ next }: LineState, { at, body }: Pick<LineInput, 'at' | 'body'>): number {
  return body.kind === 'due' && body.due === next?.due ? Math.max(at, body.due) : at;
}

/** What the input means to the line. Empty: nothing to store. */
export function decideLine(state: LineState, input: LineInput): readonly LineTransition[] {
  const { body } = input;
  const now = timeOf(state, input);
  const draft = new LineDraft(state, now);
  for (const { runId, status } of input.ended) {
    if (state.running.some((run) => run.runId === runId)) draft.emit({ type: 'RunEnded', runId, status });
  }
  drain(draft);
  let more = advance(draft, now);
  take(draft, body, new Set(input.ended.map(({ runId }) => runId)));
  if (!more) more = advance(draft, now);
  for (const backfill of draft.state.backfills) {
    const { spec } = draft.state;
    if (spec !== undefined && draft.state.paused === undefined) more = fill(draft, spec, backfill) || more;
  }
  drain(draft);
  // A timer that has fired is gone from the server.
  if (body.kind === 'due' && draft.state.next?.due === body.due) draft.emit({ type: 'NextCleared' });
  setNext(draft, more);
  return draft.transitions;
}

/** What is to be done once an entry is stored; the same again whenever it is asked. */
export function lineCommands(transitions: readonly LineTransition[]): readonly LineCommand[] {
  const commands: LineCommand[] = [];
  let timer: LineCommand | undefined;
  for (const t of transitions) {
    if (t.type === 'RunFired') commands.push({ kind: 'start', start: t.start });
    else if (t.type === 'StopAsked') {
      commands.push({ kind: 'stop', runId: t.runId, kill: t.kill, reason: t.reason });
    } else if (t.type === 'NextSet') timer = { kind: 'timer', due: t.due };
    else if (t.type === 'NextCleared' || t.type === 'LineRemoved') timer = { kind: 'timer.clear' };
  }
  return timer === undefined ? commands : [...commands, timer];
}
