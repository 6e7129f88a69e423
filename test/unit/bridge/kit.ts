/** What the bridge's tests share: a tiny engine over a journal, a Prefect in memory with the real one's rules, a clock. */

import type { FlowRun, PrefectApi, SetState, SetStateResult, StateType } from '../../../src/bridge/prefect/index.ts';
import type { DefinitionSource, Dispatches } from '../../../src/bridge/reconcile/index.ts';
import {
  type CancelMessage,
  type Definition,
  type DispatchMessage,
  decide,
  fold,
  type InputBody,
  inputBodySchema,
  type Journal,
  type RunState,
} from '../../../src/engine/index.ts';
import type { Clock } from '../../../src/kernel/index.ts';
import { MillraceError } from '../../../src/kernel/index.ts';

export const DEFINITION: Definition = {
  name: 'report',
  digest: '0123456789abcdef',
  deadLetter: false,
  triggers: [],
  steps: [
    {
      name: 'compute',
      needs: [],
      action: { kind: 'prefect', deployment: 'delays/main', pool: 'default' },
      retry: { maxAttempts: 2, maxLost: 2, initialMs: 1_000, factor: 2, maxMs: 5_000, jitter: 0 },
      timeoutMs: 600_000,
    },
  ],
};

export const definitions = (definition: Definition = DEFINITION): DefinitionSource => ({
  byDigest: async (name, digest) => (name === definition.name && digest === definition.digest ? definition : undefined),
  list: async () => [definition],
});

/** A clock that only moves when it is told to; sleepers wake in order. */
export class FakeClock implements Clock {
  #now = 1_700_000_000_000;
  readonly #sleepers: { at: number; wake: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { at: this.#now + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', () => {
        this.#sleepers.splice(this.#sleepers.indexOf(sleeper), 1);
        reject(signal.reason);
      });
    });
  }

  advance(ms: number): void {
    this.#now += ms;
    const due = this.#sleepers.filter(({ at }) => at <= this.#now);
    for (const sleeper of due) {
      this.#sleepers.splice(this.#sleepers.indexOf(sleeper), 1);
      sleeper.wake();
    }
  }
}

/** Decides every input of the run that is not decided yet, as a controller would. */
export async function drive(journal: Journal, runId: string, definition: Definition = DEFINITION): Promise<RunState> {
  const run = { workflow: definition.name, runId };
  for (;;) {
    const state = fold(run.workflow, runId, await journal.entries(run));
    const [input] = await journal.inputsBetween(run, state.lastInput, Number.MAX_SAFE_INTEGER);
    if (input === undefined) return state;
    const body = inputBodySchema.parse(JSON.parse(new TextDecoder().decode(input.data)));
    const transitions = decide(definition, state, { seq: input.seq, at: input.at, body });
    const entry = { v: 1 as const, cause: input.seq, at: input.at, transitions };
    await journal.append(run, entry, state.lastEntry);
  }
}

let ids = 0;

export async function send(journal: Journal, runId: string, body: InputBody): Promise<RunState> {
  await journal.send({ workflow: DEFINITION.name, runId }, body, { msgId: `test:${ids++}` });
  return drive(journal, runId);
}

export const startInput = (payload: string): InputBody => ({
  v: 1,
  kind: 'start',
  digest: DEFINITION.digest,
  payload,
  trace: { traceparent: '00-11111111111111111111111111111111-2222222222222222-01' },
});

const ENDS: readonly string[] = ['COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED'];

/** Prefect's rules as far as the bridge relies on them (measured on 3.8.8; the integration test holds the real one to them). */
export class FakePrefect implements PrefectApi {
  readonly runs = new Map<string, FlowRun>();
  readonly deployments = new Map([['delays/main', 'd1']]);
  readonly calls: string[] = [];
  down = false;
  refuse: MillraceError | undefined;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  #enter(call: string): void {
    this.calls.push(call);
    if (this.down) throw new MillraceError('MR_PREFECT_UNREACHABLE', 'Prefect does not answer');
  }

  async health() {
    this.#enter('health');
    return true;
  }

  async version() {
    this.#enter('version');
    return '3.8.8';
  }

  async deploymentByName(name: string) {
    this.#enter(`deployment ${name}`);
    const id = this.deployments.get(name);
    return id === undefined ? undefined : { id, name };
  }

  async createFlowRun(_deploymentId: string, request: Parameters<PrefectApi['createFlowRun']>[1]) {
    this.#enter(`create ${request.idempotencyKey}`);
    if (this.refuse !== undefined) throw this.refuse;
    const known = [...this.runs.values()].find((run) => run.idempotency_key === request.idempotencyKey);
    if (known !== undefined) return known;
    const run: FlowRun = {
      id: `flow-${this.runs.size + 1}`,
      name: request.name,
      idempotency_key: request.idempotencyKey,
      tags: [...request.tags],
      labels: { ...request.labels },
    };
    this.runs.set(run.id, run);
    return this.put(run.id, 'SCHEDULED');
  }

  async readFlowRun(id: string) {
    this.#enter(`read ${id}`);
    return this.runs.get(id);
  }

  async filterFlowRuns({ ids: wanted, idempotencyKeys, types }: Parameters<PrefectApi['filterFlowRuns']>[0]) {
    this.#enter('filter');
    return [...this.runs.values()].filter(
      (run) =>
        (wanted?.includes(run.id) ?? true) &&
        (idempotencyKeys?.includes(run.idempotency_key ?? '') ?? true) &&
        (types?.includes(run.state?.type ?? 'PENDING') ?? true),
    );
  }

  async setState(id: string, { type, message, force }: SetState): Promise<SetStateResult | undefined> {
    this.#enter(`set ${id} ${type}${force ? '!' : ''}`);
    const now = this.runs.get(id)?.state?.type;
    if (now === undefined) return undefined;
    const answer = (status: SetStateResult['status'], to: StateType): SetStateResult => {
      const run = status === 'ABORT' ? this.runs.get(id) : this.put(id, to, message);
      return { status, reason: undefined, state: run?.state ?? undefined };
    };
    if (force) return answer('ACCEPT', type);
    if (ENDS.includes(now) && ['CANCELLING', 'PAUSED', 'CRASHED'].includes(type)) return answer('ABORT', now);
    if (now === 'SCHEDULED' && type === 'CANCELLING') return answer('REJECT', 'CANCELLED');
    if (now === 'CANCELLING' && type !== 'CANCELLED') return answer('REJECT', now);
    return answer('ACCEPT', type);
  }

  async readTaskRuns() {
    this.#enter('tasks');
    return [];
  }

  /** Puts the flow run into a state, as a host or a person would. */
  put(id: string, type: StateType, message?: string): FlowRun {
    const run = this.runs.get(id);
    if (run === undefined) throw new Error(`no flow run ${id}`);
    const name = type.charAt(0) + type.slice(1).toLowerCase();
    const next = {
      ...run,
      state: { type, name, message: message ?? null, timestamp: new Date(this.#clock.now()).toISOString() },
    };
    this.runs.set(id, next);
    return next;
  }

  typeOf(id: string): StateType | undefined {
    return this.runs.get(id)?.state?.type;
  }
}

/** A dispatch queue that keeps what is published until the test takes it. */
export class FakeDispatches implements Dispatches {
  readonly published: { pool: string; message: DispatchMessage; n: number }[] = [];
  readonly cancelled: CancelMessage[] = [];
  readonly held = new Map<string, { run: boolean; collect: boolean }>();

  async publish(pool: string, message: DispatchMessage, n: number): Promise<void> {
    this.published.push({ pool, message, n });
    const before = this.held.get(message.flowRunId) ?? { run: false, collect: false };
    this.held.set(message.flowRunId, { ...before, [message.action]: true });
  }

  cancel(message: CancelMessage): void {
    this.cancelled.push(message);
  }

  async queued() {
    return this.held;
  }
}
