/**
 * diff(attempt, live, facts) → what to do: the whole policy of the bridge in one pure function.
 *
 * Job: two sides as they are now, the difference as actions. Boundary: no I/O, no clock (now is a fact), no memory; the
 * reconciler executes what it says, the sweep asks it which attempts need a reconciler at all.
 *   R1 an attempt that is open has a flow run that lives, or news of its end on the way;
 *   R2 an attempt that is over has no flow run that can still do something;
 *   R3 the log is right about how an attempt ended, Prefect about how a flow run goes;
 *   R4 only a flow host reports COMPLETED, since only it has the result: without one we ask for a `collect`;
 *   R5 equal sides give no actions, so looking once more costs nothing.
 */
import { type Failure, type FlowState, TERMINAL_FLOW_STATES } from '../../engine/index.ts';
import { unreachable } from '../../kernel/index.ts';
import type { Attempt, Verdict } from './attempts.ts';

type StateType = FlowState['type'];

/** What Prefect has of the attempt. */
export type Live =
  | { readonly kind: 'unreachable'; readonly reason: string }
  | { readonly kind: 'none' }
  | { readonly kind: 'run'; readonly flowRunId: string; readonly state: FlowState };

/** Dispatches of the flow run that no host has acknowledged yet; a host holds its dispatch until all is reported. */
export interface Queued {
  readonly run: boolean;
  readonly collect: boolean;
}

export interface Facts {
  /** ms since the epoch. */
  readonly now: number;
  /** Undefined: not looked up. */
  readonly queued?: Queued | undefined;
  /** Undefined: not looked up. */
  readonly deploymentExists?: boolean | undefined;
}

export type Action =
  | { readonly kind: 'create' }
  /** Hand the flow run to a host, or ask one for the result. `n` tells one asking from the next. */
  | { readonly kind: 'dispatch'; readonly action: 'run' | 'collect'; readonly n: number }
  /** Tell the run what Prefect says. */
  | { readonly kind: 'report'; readonly state: FlowState }
  /** Tell the run that there will be no flow run. */
  | { readonly kind: 'failMissingDeployment' }
  /** Tell Prefect what the log says. */
  | { readonly kind: 'set'; readonly type: StateType; readonly force: boolean; readonly message: string }
  /** Tell the host that runs it to stop. */
  | { readonly kind: 'stop'; readonly reason: string };

/** When to look again; `again`: at once, since the actions changed what there is to see. */
export type Next =
  | { readonly kind: 'done' }
  | { readonly kind: 'again' }
  | { readonly kind: 'after'; readonly ms: number }
  | { readonly kind: 'retry'; readonly reason: string };

export interface Plan {
  readonly actions: readonly Action[];
  readonly next: Next;
}

/** How long each kind of silence is normal, in ms. */
export const PATIENCE = {
  /** A dispatch that is not on the queue although nobody has begun is repeated after this. */
  dispatchMs: 5_000,
  /** A flow run that is said to run although nobody holds its dispatch is lost after this. */
  zombieMs: 30_000,
  /** The host reports an end with more than the state (a result, an error's class): it goes first for so long. */
  reportMs: 2_000,
  /** A host that still holds the dispatch may be slow in reporting a failure. */
  heldReportMs: 20_000,
  /** Prefect may learn of an end later than the log does. */
  settleMs: 10_000,
  /** A host stops a flow within this, or is overruled. */
  cancelMs: 30_000,
  /** Between two looks at something that is on its way. */
  lookMs: 2_000,
} as const;

const DONE: Plan = { actions: [], next: { kind: 'done' } };
const after = (ms: number, ...actions: Action[]): Plan => ({ actions, next: { kind: 'after', ms } });
const act = (...actions: Action[]): Plan => ({ actions, next: { kind: 'done' } });
const again = (...actions: Action[]): Plan => ({ actions, next: { kind: 'again' } });

/** The error of a run whose deployment does not exist. */
export function missingDeployment(deployment: string): Failure {
  return {
    code: 'MR_DEPLOYMENT_MISSING',
    message: `Prefect has no deployment "${deployment}"`,
    hint: 'create it (for example with flow.deploy or prefect deploy), then retry the run',
    retryable: false,
    lost: false,
  };
}

/** What must be done so that both sides tell the same story. */
export function diff(attempt: Attempt, live: Live, facts: Facts): Plan {
  if (live.kind === 'unreachable') return { actions: [], next: { kind: 'retry', reason: live.reason } };
  return attempt.verdict === 'open' ? diffOpen(attempt, live, facts) : diffOver(attempt, attempt.verdict, live, facts);
}

type Known = Exclude<Live, { kind: 'unreachable' }>;
type LiveRun = Extract<Live, { kind: 'run' }>;

/** A report, unless the log has it already. */
function report(attempt: Attempt, live: LiveRun): Action[] {
  const noted = attempt.flow;
  const known = noted?.flowRunId === live.flowRunId && noted.state.type === live.state.type;
  return known ? [] : [{ kind: 'report', state: live.state }];
}

/** Counts up while the flow run stays in its state, so that asking again is not taken for the same message. */
function dispatch(action: 'run' | 'collect', ageMs: number): Action {
  return { kind: 'dispatch', action, n: 1 + Math.max(0, Math.floor(ageMs / PATIENCE.dispatchMs)) };
}

function diffOpen(attempt: Attempt, live: Known, facts: Facts): Plan {
  if (live.kind === 'none') return openWithoutFlowRun(attempt, facts);
  const ageMs = Math.max(0, facts.now - live.state.at);
  const news = report(attempt, live);
  const { queued } = facts;
  const { type } = live.state;
  if (attempt.stopping !== undefined && type !== 'CANCELLING' && !TERMINAL_FLOW_STATES.has(type)) {
    return again({ kind: 'set', type: 'CANCELLING', force: false, message: attempt.stopping });
  }
  switch (type) {
    case 'SCHEDULED': {
      if (attempt.flow === undefined) return act(...news, dispatch('run', ageMs));
      const lost = ageMs >= PATIENCE.dispatchMs && queued?.run === false;
      return act(...news, ...(lost ? [dispatch('run', ageMs)] : []));
    }
    case 'PENDING':
    case 'RUNNING': {
      const zombie = ageMs >= PATIENCE.zombieMs && queued?.run === false;
      if (!zombie) return act(...news);
      return again({ kind: 'set', type: 'CRASHED', force: true, message: 'no flow host holds this flow run any more' });
    }
    case 'PAUSED':
      return act(...news);
    case 'COMPLETED':
      if (ageMs < PATIENCE.reportMs) return after(PATIENCE.reportMs - ageMs);
      if (queued?.run !== false || queued.collect) return after(PATIENCE.lookMs);
      return after(PATIENCE.dispatchMs, dispatch('collect', ageMs));
    case 'FAILED':
    case 'CRASHED':
      if (queued?.run !== false && ageMs < PATIENCE.heldReportMs) return after(PATIENCE.lookMs);
      return act({ kind: 'report', state: live.state });
    case 'CANCELLED':
      return act({ kind: 'report', state: live.state });
    case 'CANCELLING':
      return stopped(attempt.stopping ?? 'cancelled in Prefect', news, ageMs, queued);
    default:
      return unreachable(type);
  }
}

function openWithoutFlowRun(attempt: Attempt, facts: Facts): Plan {
  if (attempt.flow !== undefined) {
    // It was there: somebody deleted it, or Prefect lost it. Nobody can finish it any more.
    const message = `flow run ${attempt.flow.flowRunId} is not in Prefect any more`;
    return act({ kind: 'report', state: { type: 'CRASHED', name: 'Crashed', message, at: facts.now } });
  }
  if (attempt.stopping !== undefined) return DONE; // the grace time ends it
  if (facts.deploymentExists === false) return act({ kind: 'failMissingDeployment' });
  return again({ kind: 'create' });
}

/** A flow run that is CANCELLING: its host has some time, without one there is nothing to wait for. */
function stopped(reason: string, news: Action[], ageMs: number, queued: Queued | undefined): Plan {
  const abandoned = queued?.run === false && ageMs >= PATIENCE.lookMs;
  if (abandoned || ageMs >= PATIENCE.cancelMs) {
    return again({ kind: 'set', type: 'CANCELLED', force: true, message: reason });
  }
  return after(PATIENCE.lookMs, ...news, { kind: 'stop', reason });
}

/** The state that an ended attempt's flow run must have; undefined: any end will do. */
function settledType(attempt: Attempt, verdict: Exclude<Verdict, 'open'>): StateType | undefined {
  switch (verdict) {
    case 'completed':
      return 'COMPLETED';
    case 'lost':
      return 'CRASHED';
    case 'failed': // by its flow run's own report, or by the engine (a timeout), which then has it stopped
      return attempt.flow?.state.type === 'FAILED' ? 'FAILED' : undefined;
    case 'cancelled':
      return undefined;
    default:
      return unreachable(verdict);
  }
}

function reasonOf(attempt: Attempt, verdict: Verdict): string {
  return attempt.error === undefined ? `the attempt is ${verdict}` : `the attempt ended: ${attempt.error.message}`;
}

function diffOver(attempt: Attempt, verdict: Exclude<Verdict, 'open'>, live: Known, facts: Facts): Plan {
  if (live.kind === 'none') return DONE;
  const wanted = settledType(attempt, verdict);
  const { type } = live.state;
  const news = report(attempt, live);
  if (type === wanted) return type === 'COMPLETED' ? DONE : act(...news);
  if (wanted !== undefined) {
    const sinceEnd = facts.now - (attempt.endedAt ?? facts.now);
    // Lost means that nobody works on it; otherwise Prefect may just be about to learn what the log knows already.
    if (verdict !== 'lost' && sinceEnd < PATIENCE.settleMs) return after(PATIENCE.settleMs - sinceEnd);
    return again({ kind: 'set', type: wanted, force: true, message: reasonOf(attempt, verdict) });
  }
  return diffUnwanted(attempt, verdict, live, facts, news);
}

/** The attempt is over and its flow run is to end, in whatever way it does. */
function diffUnwanted(attempt: Attempt, verdict: Verdict, live: LiveRun, facts: Facts, news: Action[]): Plan {
  const reason = reasonOf(attempt, verdict);
  const ageMs = Math.max(0, facts.now - live.state.at);
  const { type } = live.state;
  if (type === 'COMPLETED') return news.length === 0 ? DONE : collectForTheRecord(ageMs, facts.queued);
  if (TERMINAL_FLOW_STATES.has(type)) return act(...news);
  if (type === 'CANCELLING') return stopped(reason, [], ageMs, facts.queued);
  // CANCELLING, never CANCELLED: Prefect makes it CANCELLED itself when nobody has claimed the flow run yet, and lets a
  // host that was just claiming take a CANCELLED one to RUNNING again.
  return again({ kind: 'set', type: 'CANCELLING', force: false, message: reason });
}

/** It completed just as its attempt was ended: the log should say so, and a host is the one to tell it. */
function collectForTheRecord(ageMs: number, queued: Queued | undefined): Plan {
  if (ageMs < PATIENCE.reportMs || queued?.run !== false || queued.collect) return after(PATIENCE.lookMs);
  return after(PATIENCE.dispatchMs, dispatch('collect', ageMs));
}

/** `true` when the plan depends on what is on the dispatch queue: only then is it worth reading. */
export function needsQueued(attempt: Attempt, live: Live, now: number): boolean {
  if (live.kind !== 'run') return false;
  const { type } = live.state;
  const ageMs = Math.max(0, now - live.state.at);
  if (attempt.verdict !== 'open') {
    return type === 'CANCELLING' || (type === 'COMPLETED' && attempt.flow?.state.type !== 'COMPLETED');
  }
  switch (type) {
    case 'SCHEDULED':
      return attempt.flow !== undefined && ageMs >= PATIENCE.dispatchMs;
    case 'PENDING':
    case 'RUNNING':
      return ageMs >= PATIENCE.zombieMs;
    case 'PAUSED':
    case 'CANCELLED':
      return false;
    default:
      return true;
  }
}

/** `true` when both sides tell the same story. */
export function agrees(attempt: Attempt, live: Live): boolean {
  const { verdict, flow } = attempt;
  if (live.kind === 'unreachable') return false;
  if (live.kind === 'none') {
    // Deleted in Prefect, or never created because the attempt ended first: there is nothing left to contradict the log.
    return verdict === 'lost' || ((verdict === 'failed' || verdict === 'cancelled') && flow === undefined);
  }
  const ended = TERMINAL_FLOW_STATES.has(live.state.type);
  if (verdict === 'open') return !ended && (attempt.stopping === undefined || live.state.type === 'CANCELLING');
  const wanted = settledType(attempt, verdict);
  if (wanted !== undefined) return live.state.type === wanted;
  return ended && (live.state.type === 'CANCELLED' || flow?.state.type === live.state.type);
}
