/**
 * One workflow's retention: reads what has grown old, takes away what is due, again and again.
 *
 * Job: the order in which things are looked at and removed. Boundary: ports only. Any number of these may run on one workflow at once,
 * and any may die at any point: what it does is done twice or by the next one (docs/architecture.md).
 *   Y3 before a run goes that may have gone on since (failed, cancelled, never started), the server is asked whether it has;
 *   Y4 a run's objects go before its messages: while a message is there, its run is found again and the rest is done;
 *   Y5 a pin that is stored before a run's turn comes keeps it; it is looked at once more right before the run is purged.
 */
import type { RetentionPolicy } from '../engine/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import { agesOf, type PurgePlan, RunLedger, type SeenMessage, type TrackedRun } from './ledger.ts';

/** What a sweep needs of the server. */
export interface RetentionStore {
  /** Messages of the workflow's stream after `after`, in order, stored no later than `until` (ms since the epoch). */
  read(workflow: string, after: number, until: number): AsyncIterable<SeenMessage>;
  /** Sequence of the run's last log entry, or of its last message of either side, as the leader knows it; 0 when there is none. */
  last(workflow: string, runId: string, of: 'log' | 'any'): Promise<number>;
  /** Every input up to this sequence has been acknowledged. */
  ackFloor(workflow: string): Promise<number>;
  /** Runs of the workflow that have a log; may say "more than `enough`" as any number above it. */
  countRuns(workflow: string, enough: number): Promise<number>;
  /** Removes every message below the sequence, in pieces that hold up nobody for long. */
  purgeBelow(workflow: string, seq: number, signal?: AbortSignal): Promise<void>;
  /** Removes every message of the run, up to the given sequence if there is one. */
  purgeRun(workflow: string, runId: string, upTo?: number): Promise<void>;
  removeObjects(names: readonly string[]): Promise<void>;
}

export interface Pins {
  has(workflow: string, runId: string): boolean;
}

export interface SweepPorts {
  readonly store: RetentionStore;
  readonly pins: Pins;
  readonly telemetry: Telemetry;
  now(): number;
}

/** What one sweep did. */
export interface Swept {
  readonly runs: number;
  readonly bytes: number;
  /** How long the longest waiting run had been due when it began, in ms. */
  readonly lagMs: number;
  /** It stopped before everything was done that could be. */
  readonly more: boolean;
}

/** Runs of one sweep: a sweep is to take a second or so, since pins and deaths are looked at between sweeps. */
const RUNS_PER_SWEEP = 8_000;
const MESSAGES_PER_SWEEP = 250_000;
/** Runs that are remembered because they stay for now; beyond it nothing more is read until some have gone. */
const MOST_TRACKED = 1_000_000;
/** Calls under way at once: more hold up the stream's writers and are no faster. */
const AT_ONCE = 16;
/** A run that went on after what was read of it is asked about again after so many ms. */
const ASK_AGAIN_MS = 60_000;

async function inTurn<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const lane = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, lane));
}

export class Sweep {
  readonly #workflow: string;
  readonly #policy: RetentionPolicy;
  readonly #ports: SweepPorts;
  #ledger: RunLedger;
  #readTo = 0;

  constructor(workflow: string, policy: RetentionPolicy, ports: SweepPorts) {
    this.#workflow = workflow;
    this.#policy = policy;
    this.#ports = ports;
    this.#ledger = new RunLedger(policy);
  }

  /** Forgets what it knows: another has had the workflow meanwhile, or it is not known what was done. */
  reset(): void {
    this.#ledger = new RunLedger(this.#policy);
    this.#readTo = 0;
  }

  /**
   * One round. After a failure nothing that was known is relied on.
   * @throws MillraceError MR_NATS
   */
  async once(signal?: AbortSignal): Promise<Swept> {
    try {
      return await this.#once(signal);
    } catch (error) {
      this.reset();
      throw error;
    }
  }

  async #once(signal?: AbortSignal): Promise<Swept> {
    const ages = agesOf(this.#policy);
    if (ages === undefined) return { runs: 0, bytes: 0, lagMs: 0, more: false };
    const now = this.#ports.now();
    const horizon = now - ages.shortest;
    const stoppedAt = await this.#readOn(horizon, signal);
    const due = this.#ledger.due(now, (runId) => this.#isPinned(runId), RUNS_PER_SWEEP);
    const oldest = due[0]?.ended?.due ?? now;
    const lagMs = Math.max(0, now - oldest, stoppedAt === undefined ? 0 : horizon - stoppedAt);
    const going = await this.#allowed(await this.#confirmed(due, now));
    const bytes = await this.#purge(this.#ledger.plan(going), signal);
    return { runs: going.length, bytes, lagMs, more: stoppedAt !== undefined || due.length >= RUNS_PER_SWEEP };
  }

  #isPinned(runId: string): boolean {
    return this.#ports.pins.has(this.#workflow, runId);
  }

  /** @returns the time of the message it stopped at, when it stopped before the horizon */
  async #readOn(horizon: number, signal?: AbortSignal): Promise<number | undefined> {
    let left = MESSAGES_PER_SWEEP;
    if (this.#ledger.size >= MOST_TRACKED) {
      this.#ports.telemetry.log.warn(
        { workflow: this.#workflow, runs: this.#ledger.size },
        'too many runs that stay lie before those that may go: nothing more is looked at until some have gone',
      );
      return this.#readTo;
    }
    for await (const message of this.#ports.store.read(this.#workflow, this.#ledger.seen, horizon)) {
      this.#ledger.see(message);
      this.#readTo = message.at;
      if (--left <= 0 || signal?.aborted === true) return message.at;
    }
    return undefined;
  }

  /** Y3. A completed run never goes on. */
  async #confirmed(due: readonly TrackedRun[], now: number): Promise<readonly TrackedRun[]> {
    const sure: TrackedRun[] = [];
    const ackFloor = due.some(({ started }) => !started) ? await this.#ports.store.ackFloor(this.#workflow) : 0;
    await inTurn(due, async (run) => {
      const verdict = run.ended?.status === 'completed' ? 'sure' : await this.#asked(run, ackFloor);
      if (verdict === 'sure') sure.push(run);
      else if (verdict === 'kept') this.#ledger.keep(run);
      else this.#ledger.giveBack([run], now + ASK_AGAIN_MS);
    });
    return sure;
  }

  /** `kept`: it is a late message of a run that is kept for ever. */
  async #asked({ runId, started, first, last }: TrackedRun, ackFloor: number): Promise<'sure' | 'kept' | 'later'> {
    const { store } = this.#ports;
    if ((await store.last(this.#workflow, runId, 'any')) !== last) return 'later'; // the rest is yet to be read
    if (started) return 'sure';
    const log = await store.last(this.#workflow, runId, 'log');
    if (log > 0 && log < first) return 'kept';
    return last <= ackFloor ? 'sure' : 'later'; // an input may wait for a controller, and begin the run
  }

  async #allowed(due: readonly TrackedRun[]): Promise<readonly TrackedRun[]> {
    const { keepLast } = this.#policy;
    if (keepLast === undefined || due.length === 0) return due;
    const ended = due.filter((run) => run.ended !== undefined);
    const count = await this.#ports.store.countRuns(this.#workflow, keepLast + ended.length);
    const may = Math.max(0, count - keepLast);
    this.#ledger.giveBack(ended.slice(may));
    return [...due.filter((run) => run.ended === undefined), ...ended.slice(0, may)];
  }

  /** @returns how many bytes went */
  async #purge(plan: PurgePlan, signal?: AbortSignal): Promise<number> {
    const { store } = this.#ports;
    let bytes = 0;
    const done = (runs: readonly TrackedRun[]): void => {
      for (const run of runs) {
        bytes += run.bytes;
        this.#count(run);
      }
      this.#ledger.forget(runs);
    };
    // One by one first: what lies before the floor of a run that goes alone must not go without the rest of it.
    await inTurn(plan.single, async (run) => {
      if (signal?.aborted === true || this.#isPinned(run.runId)) return this.#ledger.giveBack([run]); // Y5
      await this.#removeObjects([run]);
      // What came after a completed run's end and was not read yet is left over, with its objects, for when it is.
      const upTo = run.ended?.status === 'completed' ? run.last : undefined;
      await store.purgeRun(this.#workflow, run.runId, upTo);
      done([run]);
    });
    const { floor, covered } = this.#belowWhatStays(plan.covered);
    if (covered.length > 0) {
      await this.#removeObjects(covered);
      await store.purgeBelow(this.#workflow, floor, signal);
      done(covered);
    }
    return bytes;
  }

  /** Y5: pins that came meanwhile, and runs that were left, move the floor down; it cuts through no run. */
  #belowWhatStays(runs: readonly TrackedRun[]): PurgePlan {
    const pinned = runs.filter(({ runId }) => this.#isPinned(runId));
    this.#ledger.giveBack(pinned);
    let plan = this.#ledger.plan(runs.filter((run) => !pinned.includes(run)));
    while (plan.single.length > 0) {
      this.#ledger.giveBack(plan.single);
      plan = this.#ledger.plan(plan.covered);
    }
    return plan;
  }

  /** Y4. */
  async #removeObjects(runs: readonly TrackedRun[]): Promise<void> {
    const names = new Set(runs.flatMap(({ objects }) => objects));
    if (names.size > 0) await this.#ports.store.removeObjects([...names]);
  }

  #count(run: TrackedRun): void {
    const { metrics } = this.#ports.telemetry;
    const labels = { workflow: this.#workflow };
    metrics.count('millrace_retention_runs_total', { ...labels, status: run.ended?.status ?? 'unstarted' });
    metrics.count('millrace_retention_bytes_total', labels, run.bytes);
  }
}
