/**
 * The reconciler: one key, both sides as they are now, the difference carried out.
 *
 * Job: execute what diff.ts says. Boundary: no policy here, and no retries (requeue.ts).
 *   C1 nothing is taken from the job but the key; the run is folded from its journal every time;
 *   C2 every action is idempotent at its receiver: idempotency key, message id, transition id;
 *   C3 when an action has changed what there is to see, both sides are looked at again, a bounded number of times.
 */
import {
  type Definition,
  type DispatchMessage,
  type Failure,
  type FlowState,
  findStep,
  fold,
  type Journal,
  type Outcome,
  type ReconcileKey,
  type RunState,
  type StepDefinition,
  stepOf,
} from '../../engine/index.ts';
import { type Clock, isMillraceError, MillraceError, spanIdOf, unreachable } from '../../kernel/index.ts';
import {
  attemptContext,
  attemptSpanId,
  headersOfContext,
  parseTraceparent,
  type Telemetry,
} from '../../telemetry/index.ts';
import { idempotencyKeyOf } from '../key.ts';
import {
  flowReport,
  flowRunRequest,
  flowStateOf,
  type PrefectApi,
  parametersOf,
  type ReportSource,
  transitionIdOf,
} from '../prefect/index.ts';
import { type Attempt, attemptId, attemptsOf } from './attempts.ts';
import { type DriftClass, driftClassOf } from './classes.ts';
import { Deployments } from './deployments.ts';
import { type Action, diff, type Live, missingDeployment, needsQueued, type Plan } from './diff.ts';
import { type Difference, differenceOf } from './difference.ts';
import { type DefinitionSource, type Dispatches, NOT_QUEUED } from './ports.ts';

export interface ReconcilerOptions {
  readonly journal: Pick<Journal, 'entries' | 'send'>;
  readonly definitions: DefinitionSource;
  readonly prefect: PrefectApi;
  readonly dispatches: Dispatches;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** What one job did, for its span. */
interface Done {
  readonly actions: Action['kind'][];
  readonly drift: DriftClass[];
}

/** Everything known of a key during one look. */
interface Look {
  readonly key: ReconcileKey;
  readonly state: RunState;
  readonly step: StepDefinition;
  readonly deployment: string;
  readonly pool: string;
  readonly attempt: Attempt;
}

/** Rounds of look and act within one job; then the queue's turn, so that one odd key cannot hold a worker. */
const ROUNDS = 4;
const SOURCE: ReportSource = 'reconcile';
const DONE: Outcome = { kind: 'done' };

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #deployments: Deployments;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#deployments = new Deployments(options.prefect, options.clock);
  }

  /** Looks at the key and does what is needed. Throws typed errors; requeue.ts knows what they mean. */
  async reconcile(key: ReconcileKey): Promise<Outcome> {
    const { clock, telemetry } = this.#options;
    const startMs = clock.now();
    const look = await this.#look(key);
    if (look === undefined) return DONE;
    const done: Done = { actions: [], drift: [] };
    try {
      const outcome = await this.#rounds(look, done);
      this.#record(look, startMs, done, undefined);
      return outcome;
    } catch (error) {
      this.#record(look, startMs, done, isMillraceError(error) ? error.code : 'MR_INTERNAL');
      throw error;
    } finally {
      telemetry.metrics.observe('millrace_reconcile_seconds', (clock.now() - startMs) / 1_000);
    }
  }

  /**
   * Carries out the actions of a difference that was shown to a person, and nothing behind them.
   * @returns false when it is not any more what it was
   */
  async repair(shown: Difference): Promise<boolean> {
    const { workflow, runId, step, attempt } = shown;
    const look = await this.#look({ workflow, runId, step, attempt });
    if (look === undefined) return false;
    const live = await this.#live(look, true);
    const plan = await this.#plan(look, live);
    if (differenceOf(look.key, look.attempt, live, plan)?.seal !== shown.seal) return false;
    this.#count(look, live, plan);
    await allOf(plan.actions.map((action) => this.#execute(look, live, action)));
    return true;
  }

  #count({ attempt }: Look, live: Live, plan: Plan): DriftClass | undefined {
    const { metrics } = this.#options.telemetry;
    const drift = driftClassOf(attempt, live, plan);
    if (drift !== undefined) metrics.count('millrace_reconcile_drift_total', { class: drift });
    for (const { kind } of plan.actions) metrics.count('millrace_reconcile_actions_total', { action: kind });
    return drift;
  }

  async #rounds(first: Look, done: Done): Promise<Outcome> {
    let look = first;
    let created: Live | undefined;
    for (let round = 0; round < ROUNDS; round++) {
      const live: Live = created ?? (await this.#live(look));
      created = undefined;
      const plan = await this.#plan(look, live);
      const drift = this.#count(look, live, plan);
      if (drift !== undefined) done.drift.push(drift);
      for (const { kind } of plan.actions) done.actions.push(kind);
      // All at once: no receiver relies on the order of one plan's actions.
      for (const seen of await allOf(plan.actions.map((action) => this.#execute(look, live, action)))) {
        if (seen === 'reported') return DONE;
        created = seen ?? created;
      }
      if (plan.next.kind !== 'again') return plan.next;
      const next = await this.#look(look.key);
      if (next === undefined) return DONE;
      look = next;
    }
    return { kind: 'after', ms: 1_000 };
  }

  async #look(key: ReconcileKey): Promise<Look | undefined> {
    const { journal, definitions } = this.#options;
    const entries = await journal.entries({ workflow: key.workflow, runId: key.runId });
    const attempt = attemptsOf(entries).attempts.get(attemptId(key.step, key.attempt));
    if (attempt === undefined) return undefined; // no such run (purged, or never ours) or no such attempt
    const state = fold(key.workflow, key.runId, entries);
    const definition = await definitions.byDigest(key.workflow, state.digest);
    if (definition === undefined) throw definitionMissing(key, state.digest);
    return lookAt(key, state, definition, attempt);
  }

  /** @param search also for one that may exist although the log of an open attempt does not know it */
  async #live({ key, attempt }: Look, search = attempt.verdict !== 'open'): Promise<Live> {
    const { prefect } = this.#options;
    if (attempt.flow !== undefined) {
      const run = await prefect.readFlowRun(attempt.flow.flowRunId);
      return liveOf(run);
    }
    // Not bound yet: creating finds one that exists already, so only an attempt that is over has to be searched for.
    if (!search) return { kind: 'none' };
    const [run] = await prefect.filterFlowRuns({ idempotencyKeys: [idempotencyKeyOf(key)] });
    return liveOf(run);
  }

  async #plan(look: Look, live: Live): Promise<Plan> {
    const { clock, dispatches } = this.#options;
    const { attempt } = look;
    const creating = live.kind === 'none' && attempt.verdict === 'open' && attempt.flow === undefined;
    const deploymentExists = creating ? (await this.#deployments.idOf(look.deployment)) !== undefined : undefined;
    const now = clock.now();
    const queued =
      live.kind === 'run' && needsQueued(attempt, live, now)
        ? ((await dispatches.queued()).get(live.flowRunId) ?? NOT_QUEUED)
        : undefined;
    return diff(attempt, live, { now, deploymentExists, queued });
  }

  /** Carries one action out; gives what Prefect has now when the action learnt it, `reported` when it is up to the run. */
  async #execute(look: Look, live: Live, action: Action): Promise<Live | 'reported' | undefined> {
    switch (action.kind) {
      case 'create':
        return this.#create(look);
      case 'dispatch':
        await this.#dispatch(look, live, action);
        return undefined;
      case 'report':
        await this.#report(look, flowRunIdOf(look, live), action.state);
        return undefined;
      case 'failMissingDeployment':
        await this.#fail(look, missingDeployment(look.deployment));
        return undefined;
      case 'set':
        return this.#set(look, live, action);
      case 'stop': {
        const { workflow, runId, step, attempt } = look.key;
        this.#options.dispatches.cancel({ v: 1, workflow, runId, step, attempt, reason: action.reason });
        return undefined;
      }
      default:
        return unreachable(action);
    }
  }

  async #create(look: Look): Promise<Live | 'reported' | undefined> {
    const id = await this.#deployments.idOf(look.deployment);
    if (id === undefined) return undefined; // went missing just now: the next round says so
    const { key, state, step } = look;
    const parameters = parametersOf(step, stepOf(state, key.step).input ?? null);
    try {
      const run = await this.#options.prefect.createFlowRun(id, flowRunRequest(key, parameters, contextOf(look)));
      return liveOf(run);
    } catch (error) {
      if (isMillraceError(error, 'MR_DEPLOYMENT_MISSING')) {
        this.#deployments.forget(look.deployment);
        return undefined;
      }
      // Parameters that Prefect refuses are the run's fault; an API key that it refuses is not, and is worth a retry.
      if (!isMillraceError(error, 'MR_PREFECT_REFUSED') || error.next !== 'terminal') throw error;
      await this.#fail(look, {
        code: error.code,
        message: error.message,
        retryable: false,
        lost: false,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      });
      return 'reported';
    }
  }

  async #dispatch(look: Look, live: Live, action: Extract<Action, { kind: 'dispatch' }>): Promise<void> {
    const { key, state, step, deployment, pool } = look;
    const message: DispatchMessage = {
      v: 1,
      action: action.action,
      ...{ workflow: key.workflow, runId: key.runId, step: key.step, attempt: key.attempt },
      flowRunId: flowRunIdOf(look, live),
      deployment,
      parameters: parametersOf(step, stepOf(state, key.step).input ?? null),
      traceparent: contextOf(look).traceparent,
    };
    await this.#options.dispatches.publish(pool, message, action.n);
  }

  async #report(look: Look, flowRunId: string, state: FlowState, error?: Failure): Promise<void> {
    const { workflow, runId } = look.key;
    const { body, msgId } = flowReport(look.key, flowRunId, state, SOURCE, error);
    await this.#options.journal.send({ workflow, runId }, body, { msgId, headers: headersOfContext(contextOf(look)) });
  }

  async #fail(look: Look, error: Failure): Promise<void> {
    const state: FlowState = { type: 'FAILED', name: 'Failed', message: error.message, at: this.#options.clock.now() };
    await this.#report(look, '', state, error);
  }

  async #set(look: Look, live: Live, action: Extract<Action, { kind: 'set' }>): Promise<Live | undefined> {
    const { prefect, telemetry } = this.#options;
    const flowRunId = flowRunIdOf(look, live);
    const { type, force, message } = action;
    const result = await prefect.setState(flowRunId, {
      type,
      force,
      message,
      transitionId: transitionIdOf(flowRunId, type),
    });
    if (result === undefined) return { kind: 'none' };
    if (result.status !== 'ACCEPT') {
      const fields = { ...look.key, flowRunId, wanted: type, status: result.status, reason: result.reason };
      telemetry.log.debug(fields, 'Prefect answered a state with another one');
    }
    return undefined; // whatever it said, the next round looks
  }

  /** One span per look that did something, and per failure; a look that finds equal sides leaves no trace. */
  #record(look: Look, startMs: number, { actions, drift }: Done, error: string | undefined): void {
    if (actions.length === 0 && error === undefined) return;
    const { key } = look;
    const parent = parseTraceparent(contextOf(look).traceparent);
    if (parent === undefined) return;
    this.#options.telemetry.tracer.record({
      name: `reconcile ${key.step}`,
      traceId: parent.traceId,
      spanId: spanIdOf(key.runId, `reconcile/${key.step}/${key.attempt}/${startMs}`),
      parentSpanId: attemptSpanId(key.runId, key.step, key.attempt),
      kind: 'internal',
      startMs,
      endMs: this.#options.clock.now(),
      attributes: {
        'millrace.workflow': key.workflow,
        'millrace.run': key.runId,
        'millrace.step': key.step,
        'millrace.attempt': key.attempt,
        'millrace.actions': actions.join(','),
        'millrace.drift': drift.join(','),
      },
      error,
    });
  }
}

/** Waits for all of them before the first failure is told, so that nothing is still being done when a key is given back. */
async function allOf<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

function lookAt(key: ReconcileKey, state: RunState, definition: Definition, attempt: Attempt): Look | undefined {
  const step = findStep(definition, key.step);
  if (step?.action.kind !== 'prefect') return undefined;
  const { deployment, pool } = step.action;
  return { key, state, step, deployment, pool, attempt };
}

function contextOf({ key, state }: Look) {
  return attemptContext(state.trace ?? { traceparent: '' }, key.runId, key.step, key.attempt);
}

function flowRunIdOf(look: Look, live: Live): string {
  return live.kind === 'run' ? live.flowRunId : (look.attempt.flow?.flowRunId ?? '');
}

function liveOf(run: Awaited<ReturnType<PrefectApi['readFlowRun']>>): Live {
  if (run === undefined) return { kind: 'none' };
  if (run.state === null || run.state === undefined) {
    throw new MillraceError('MR_PREFECT', `flow run ${run.id} has no state yet`, { hint: 'this is tried again' });
  }
  return { kind: 'run', flowRunId: run.id, state: flowStateOf(run.state) };
}

function definitionMissing(key: ReconcileKey, digest: string): MillraceError {
  return new MillraceError(
    'MR_DEFINITION_MISSING',
    `run ${key.runId} of ${key.workflow} was started with definition ${digest}, which is gone`,
    {
      hint: 'the bucket millrace_definitions was deleted or restored; apply the manifests again',
    },
  );
}
