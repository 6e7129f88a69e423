/**
 * A whole world around the engine: controllers that die and come back, workers, Prefect, timers, people; one clock.
 *
 * First the storm: any fault may strike, anything may be late, double or out of order. Then the calm: faults stop, time
 * moves to whatever is due next, and every run must end. The same seed is the same world, step by step.
 */
import fc from 'fast-check';
import {
  type Definition,
  type Fault,
  type FaultPoint,
  fold,
  type InputBody,
  isEnded,
  isFanOut,
  itemName,
  MemoryBroker,
  MemoryJournal,
  type RunState,
  type StoredEntry,
  stepOf,
} from '../../src/engine/index.ts';
import { Controller } from '../../src/engine/run/controller.ts';
import { noTelemetry, type SpanRecord } from '../../src/telemetry/index.ts';
import { anyDefinition } from '../kit/definitions.ts';
import { Chance } from './chance.ts';
import { Gate, gatedDefinitions, gatedJournal } from './gate.ts';
import { SimulatedPrefect } from './prefect.ts';
import { Receivers, simulatedOutbox } from './receivers.ts';

export const WORKFLOW = 'sim';
const OUTSIDE = 'outside';
const ACK_WAIT_MS = 30_000;

export interface WorldOptions {
  readonly seed: number;
  /** Steps of the storm; 0 is a calm world. */
  readonly storm?: number;
  readonly controllers?: number;
  readonly definition?: Definition;
  /** Kills the controller that is about to make, or has just made, the n-th call of all (from 1). */
  readonly killAt?: { readonly call: number; readonly when: 'before' | 'after' };
}

export class World {
  readonly seed: number;
  readonly chance: Chance;
  readonly definition: Definition;
  readonly runIds: readonly string[];
  readonly broker: MemoryBroker;
  readonly receivers: Receivers;
  readonly prefect: SimulatedPrefect;
  readonly gate = new Gate((client) => this.kill(client));
  readonly spans: SpanRecord[] = [];
  readonly clients: string[] = [];
  /** What went wrong inside, besides what the checks find. */
  readonly surprises: unknown[] = [];
  readonly outside: MemoryJournal;
  now = 1_700_000_000_000;
  /** Steps of the storm that are left. */
  storm: number;
  crashes = 0;
  #born = 0;
  #sent = 0;

  constructor(options: WorldOptions) {
    this.seed = options.seed;
    this.chance = new Chance(options.seed);
    const [made] = fc.sample(anyDefinition, { seed: options.seed, numRuns: 1 });
    const definition = options.definition ?? made;
    if (definition === undefined) throw new Error('no definition');
    this.definition = definition;
    this.storm = options.storm ?? 150 + this.chance.below(350);
    this.runIds = ['r1', 'r2', 'r3'].slice(0, 1 + this.chance.below(3));
    const clock = { now: () => this.now, sleep: () => new Promise<void>(() => {}) };
    this.broker = new MemoryBroker({ clock, mode: 'manual', faults: (point) => this.#fault(point) });
    this.receivers = new Receivers(() => this.now);
    this.prefect = new SimulatedPrefect(this.chance, () => this.now);
    this.outside = new MemoryJournal(this.broker, OUTSIDE);
    this.#killAt = options.killAt;
    this.#wanted = options.controllers ?? 1 + this.chance.below(3);
  }

  readonly #wanted: number;
  readonly #killAt: WorldOptions['killAt'];

  get stormy(): boolean {
    return this.storm > 0;
  }

  /** Chance that something goes wrong; never in the calm. */
  unlucky(probability: number): boolean {
    return this.stormy && this.chance.happens(probability);
  }

  #fault(point: FaultPoint): Fault {
    if (point.client === OUTSIDE) return this.unlucky(0.05) ? 'lost' : 'none';
    if (this.unlucky(0.01)) {
      this.died(point.client);
      return 'crash';
    }
    if (point.op === 'append' && point.when === 'before' && this.unlucky(0.03)) return 'conflict';
    return this.unlucky(0.04) ? 'lost' : 'none';
  }

  /** Brings up a controller where one is missing. */
  async staff(): Promise<void> {
    while (this.clients.length < this.#wanted) {
      const client = `c${++this.#born}`;
      this.clients.push(client);
      const journal = new MemoryJournal(this.broker, client);
      const definitions = {
        current: async () => this.definition,
        byDigest: async (_: string, digest: string) =>
          digest === this.definition.digest ? this.definition : undefined,
      };
      const strike = () => this.#strike(client);
      const controller = new Controller(
        {
          journal: gatedJournal(journal, this.gate, client),
          outbox: simulatedOutbox(this.receivers, this.gate, client, () => this.broker.isDead(client), { strike }),
          definitions: gatedDefinitions(definitions, this.gate, client, () => this.unlucky(0.02)),
          clock: this.broker.clock,
          telemetry: {
            ...noTelemetry,
            tracer: { ...noTelemetry.tracer, enabled: true, record: (span) => this.spans.push(span) },
          },
        },
        { cacheSize: this.chance.pick([1, 2, 100]) },
      );
      await journal.consume(WORKFLOW, (delivery) => controller.handle(delivery));
    }
  }

  #strike(client: string): 'none' | 'crash' | 'lost-before' | 'lost-after' {
    if (this.unlucky(0.01)) {
      this.kill(client);
      return 'crash';
    }
    if (this.unlucky(0.03)) return this.chance.happens(0.5) ? 'lost-before' : 'lost-after';
    return 'none';
  }

  kill(client: string): void {
    this.broker.kill(client);
    this.died(client);
  }

  /** The broker has killed it; nothing of it goes on. */
  died(client: string): void {
    this.crashes++;
    this.gate.kill(client);
    const index = this.clients.indexOf(client);
    if (index >= 0) this.clients.splice(index, 1);
  }

  /** Sends an input from outside; false when the sender does not know whether it was stored. */
  async send(runId: string, body: InputBody, msgId = `m${++this.#sent}`): Promise<boolean> {
    try {
      await this.outside.send({ workflow: WORKFLOW, runId }, body, { msgId });
      return true;
    } catch {
      return false;
    }
  }

  log(runId: string): readonly StoredEntry[] {
    const stored = this.broker.stream(WORKFLOW).logs.get(runId) ?? [];
    return stored.map(({ seq, text }) => ({ ...(JSON.parse(text) as StoredEntry), seq }));
  }

  run(runId: string): RunState {
    return fold(WORKFLOW, runId, this.log(runId));
  }

  /** Inputs that the server could hand out now. First deliveries come in the order of the stream. */
  deliverable(): readonly number[] {
    const open = this.broker.openInputs(WORKFLOW).filter(({ out, notBefore }) => !out && notBefore <= this.now);
    const first = open.find(({ deliveries }) => deliveries === 0);
    return open.filter((one) => one === first || one.deliveries > 0).map(({ seq }) => seq);
  }

  deliver(seq: number): void {
    const client = this.chance.pick(this.clients);
    this.broker.deliver(WORKFLOW, seq, client).catch((error: unknown) => this.surprises.push(error));
  }

  /** Lets one waiting call of a controller go on. */
  openGate(): void {
    const which = this.chance.pick(this.gate.waiting);
    if (this.gate.opened + 1 !== this.#killAt?.call) return this.gate.open(which);
    if (this.#killAt.when === 'after') return this.gate.open(which, 'last');
    this.gate.opened++;
    this.kill(which.client);
  }

  /** Jumps to what is due next; false when nothing is. */
  jump(): boolean {
    const open = this.broker.openInputs(WORKFLOW);
    const due = [
      ...[...this.receivers.timers.values()].map(({ at }) => at),
      ...open.filter(({ out }) => !out).map(({ notBefore }) => notBefore),
      ...(open.some(({ out }) => out) ? [this.now + ACK_WAIT_MS] : []),
    ].filter((time) => time > this.now);
    if (due.length === 0) return false;
    this.now = Math.min(...due);
    if (open.some(({ out }) => out)) this.broker.expireAckWait(WORKFLOW);
    return true;
  }

  /** Everything the sweep would look at: attempts of Prefect steps. */
  sweep(): number {
    let found = 0;
    for (const runId of this.runIds) {
      const run = this.run(runId);
      const names = this.definition.steps.flatMap((step) => {
        if (step.action.kind !== 'prefect') return [];
        if (!isFanOut(step)) return [step.name];
        return Array.from({ length: stepOf(run, step.name).items ?? 0 }, (_, index) => itemName(step.name, index + 1));
      });
      for (const name of names) {
        for (let attempt = 1; attempt <= stepOf(run, name).attempt; attempt++) {
          const before = this.prefect.reports.length + this.prefect.flows.size + this.prefect.running().length * 1_000;
          this.prefect.reconcile({ runId, step: name, attempt }, run, false);
          const after = this.prefect.reports.length + this.prefect.flows.size + this.prefect.running().length * 1_000;
          if (before !== after) found++;
        }
      }
    }
    return found;
  }

  ended(): boolean {
    return this.runIds.every((runId) => isEnded(this.run(runId)));
  }
}
