/**
 * The sweep: every few seconds, both sides in bulk; keys that differ go to the queue.
 *
 * Job: find what every other message missed (lost dispatches, lost events, Redis that was empty, Prefect that was away).
 * Boundary: it repairs nothing itself; it asks diff.ts which attempts need a look, and the reconciler looks again.
 *   S1 what it enqueues follows from the two sides alone, so that two controllers may both sweep;
 *   S2 an attempt that is over is watched until Prefect has been seen to agree;
 *   S3 a flow run of ours that is alive in Prefect is found even if no log tells of it (created as its attempt ended).
 */
import { itemAt, type ReconcileKey, type ReconcileQueue } from '../../engine/index.ts';
import { type Clock, isMillraceError, messageOf } from '../../kernel/index.ts';
import type { Telemetry } from '../../telemetry/index.ts';
import { keyFromLabels, keyFromTags, keyText, MILLRACE_TAG } from '../key.ts';
import { type FlowRun, flowStateOf, type PrefectApi, type StateType } from '../prefect/index.ts';
import { agrees, diff, type Facts, type Live, type Queued } from './diff.ts';
import type { OpenFlows, WatchedAttempt } from './open-flows.ts';
import { type DefinitionSource, type Dispatches, NOT_QUEUED } from './ports.ts';

export interface SweepOptions {
  readonly openFlows: OpenFlows & { add(workflows: readonly string[]): void };
  readonly definitions: DefinitionSource;
  readonly prefect: Pick<PrefectApi, 'filterFlowRuns'>;
  readonly dispatches: Pick<Dispatches, 'queued'>;
  readonly queue: Pick<ReconcileQueue, 'enqueue'>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Ms between the end of one sweep and the next; 5,000 by default. */
  readonly intervalMs?: number;
}

export interface SweepResult {
  /** Attempts compared. */
  readonly looked: number;
  readonly enqueued: readonly ReconcileKey[];
}

/** The engine's own request to reconcile a new attempt gets so long before the sweep makes one too. */
const FRESH_MS = 3_000;
/** An end must have been agreed on for so long before nobody watches the attempt any more. */
const SETTLED_MS = 10_000;
const ALIVE: readonly StateType[] = ['SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING'];

export class Sweep {
  readonly #options: SweepOptions;
  readonly #prefectSteps = new Map<string, ReadonlySet<string>>();
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #lastEndedAt: number | undefined;

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  /** When the last sweep that went through ended, ms since the epoch. */
  get lastEndedAt(): number | undefined {
    return this.#lastEndedAt;
  }

  start(): void {
    this.#running = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #loop(): Promise<void> {
    const { clock, telemetry, intervalMs = 5_000 } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.once();
        telemetry.metrics.count('millrace_sweep_total', { result: 'ok' });
      } catch (error) {
        telemetry.metrics.count('millrace_sweep_total', { result: isMillraceError(error) ? error.code : 'error' });
        telemetry.log.warn({ error: messageOf(error) }, 'the sweep did not go through, the next one will try again');
      }
      await clock.sleep(intervalMs, signal).catch(() => undefined);
    }
  }

  /** One sweep. Throws what Prefect or NATS throw. */
  async once(): Promise<SweepResult> {
    const { clock, telemetry, openFlows, definitions, prefect, dispatches } = this.#options;
    const startedAt = clock.now();
    const workflows = (await definitions.list()).map(({ name }) => name);
    openFlows.add(workflows);
    const watched = await this.#ours();
    const alive = await prefect.filterFlowRuns({ tags: [MILLRACE_TAG], types: ALIVE });
    const runs = await this.#flowRuns(watched, alive);
    const queued = watched.length === 0 ? new Map<string, Queued>() : await dispatches.queued();
    const now = clock.now();
    const keys = new Map<string, ReconcileKey>();
    for (const one of watched) {
      const live = liveOf(one, runs);
      const facts: Facts = {
        now,
        queued: live.kind === 'run' ? (queued.get(live.flowRunId) ?? NOT_QUEUED) : undefined,
      };
      if (this.#needsLook(one, live, facts)) keys.set(keyText(one.key), one.key);
    }
    for (const key of strays(alive, watched, new Set(workflows))) keys.set(keyText(key), key);
    const enqueued = await this.#enqueue([...keys.values()]);
    this.#lastEndedAt = clock.now();
    telemetry.metrics.gauge('millrace_open_flows', watched.filter(({ attempt }) => attempt.verdict === 'open').length);
    telemetry.metrics.observe('millrace_sweep_seconds', (this.#lastEndedAt - startedAt) / 1_000);
    return { looked: watched.length, enqueued };
  }

  #needsLook({ key, attempt }: WatchedAttempt, live: Live, facts: Facts): boolean {
    if (attempt.verdict === 'open' && facts.now - attempt.scheduledAt < FRESH_MS) return false;
    const plan = diff(attempt, live, facts);
    if (plan.actions.length > 0) return true;
    const over = attempt.verdict !== 'open' && facts.now - (attempt.endedAt ?? facts.now) >= SETTLED_MS;
    if (over && plan.next.kind === 'done' && agrees(attempt, live)) this.#options.openFlows.settle(key);
    return false;
  }

  /** Watched attempts of Prefect steps; the others are nobody's business here and are dropped once they are over. */
  async #ours(): Promise<WatchedAttempt[]> {
    const ours: WatchedAttempt[] = [];
    for (const one of this.#options.openFlows.watched()) {
      const known = one.attempt.flow !== undefined || (await this.#isPrefect(one));
      if (known) ours.push(one);
      else if (one.attempt.verdict !== 'open') this.#options.openFlows.settle(one.key);
    }
    return ours;
  }

  async #isPrefect({ key, digest }: WatchedAttempt): Promise<boolean> {
    const id = `${key.workflow}/${digest}`;
    let steps = this.#prefectSteps.get(id);
    if (steps === undefined) {
      const definition = await this.#options.definitions.byDigest(key.workflow, digest);
      if (definition === undefined) return false;
      steps = new Set(definition.steps.filter(({ action }) => action.kind === 'prefect').map(({ name }) => name));
      this.#prefectSteps.set(id, steps);
    }
    return steps.has(itemAt(key.step)?.step ?? key.step);
  }

  /** The flow runs that the watched attempts name, by id; those that are alive are here already. */
  async #flowRuns(
    watched: readonly WatchedAttempt[],
    alive: readonly FlowRun[],
  ): Promise<ReadonlyMap<string, FlowRun>> {
    const runs = new Map(alive.map((run) => [run.id, run]));
    const ids = watched.flatMap(({ attempt: { flow } }) =>
      flow === undefined || runs.has(flow.flowRunId) ? [] : [flow.flowRunId],
    );
    const others = ids.length === 0 ? [] : await this.#options.prefect.filterFlowRuns({ ids });
    for (const run of others) runs.set(run.id, run);
    return runs;
  }

  async #enqueue(keys: readonly ReconcileKey[]): Promise<readonly ReconcileKey[]> {
    const { queue, telemetry } = this.#options;
    for (const key of keys) {
      await queue.enqueue(key);
      telemetry.metrics.count('millrace_sweep_enqueued_total');
    }
    if (keys.length > 0) telemetry.log.info({ keys: keys.length }, 'the sweep found attempts to reconcile');
    return keys;
  }
}

function liveOf({ attempt }: WatchedAttempt, runs: ReadonlyMap<string, FlowRun>): Live {
  const run = attempt.flow === undefined ? undefined : runs.get(attempt.flow.flowRunId);
  if (run === undefined) return { kind: 'none' };
  // Being created at this moment: whoever creates it goes on.
  if (run.state === null || run.state === undefined) return { kind: 'unreachable', reason: 'no state yet' };
  return { kind: 'run', flowRunId: run.id, state: flowStateOf(run.state) };
}

/** Flow runs of ours that are alive though no watched attempt names them. */
function strays(
  alive: readonly FlowRun[],
  watched: readonly WatchedAttempt[],
  workflows: ReadonlySet<string>,
): ReconcileKey[] {
  const known = new Set(watched.flatMap(({ attempt }) => attempt.flow?.flowRunId ?? []));
  const open = new Set(watched.filter(({ attempt }) => attempt.verdict === 'open').map(({ key }) => keyText(key)));
  return alive.flatMap((run) => {
    if (known.has(run.id)) return [];
    const key = keyFromLabels(run.labels) ?? keyFromTags(run.tags);
    // Another installation may share this Prefect: a workflow we do not know is not ours.
    if (key === undefined || !workflows.has(key.workflow) || open.has(keyText(key))) return [];
    return [key];
  });
}
