/**
 * A world around durable functions: hosts that die and are born again, a server with timers, people who send; one clock.
 *
 * First the storm: any fault may strike, ack waits pass at will. Then the calm: faults stop, time moves to whatever is due
 * next, and every run must end. The same seed is the same world, step by step.
 */
import {
  type Fault,
  type FaultPoint,
  fold,
  type InputBody,
  type LogEntry,
  MemoryBroker,
  MemoryJournal,
  parseInput,
  type RunRef,
  type RunState,
  SimulatedCrash,
  type StoredEntry,
} from '../../src/engine/index.ts';
import { FunctionHost, type HostPorts, JournalFamily, processPorts, workflow } from '../../src/functions/index.ts';
import { type Recall, recall } from '../../src/functions/recall.ts';
import { type Json, MillraceError } from '../../src/kernel/index.ts';
import { noTelemetry, type Telemetry } from '../../src/telemetry/index.ts';
import { Chance } from './chance.ts';
import { effectOf } from './functions-effects.ts';
import { anyProgram, interpret, type Op, opsOf } from './functions-program.ts';
import { tame } from './functions-tame.ts';
import { Gate, gatedJournal } from './gate.ts';

export const WORKFLOW = 'fn';
const OUTSIDE = 'outside';
export const ACK_WAIT_MS = 30_000;
const WINDOW_MS = 120_000;

export interface FunctionsWorldOptions {
  readonly seed: number;
  /** Steps of the storm; 0 is a calm world. */
  readonly storm?: number;
  readonly hosts?: number;
  readonly program?: readonly Op[];
  /** false: only what there was in the first worlds, whose seeds are remembered. */
  readonly deep?: boolean;
  /** Kills the host that is about to make, or has just made, the n-th call of all (from 1). */
  readonly killAt?: { readonly call: number; readonly when: 'before' | 'after' };
}

interface Staff {
  readonly client: string;
  readonly host: FunctionHost;
  draining: boolean;
}

/** An attempt of a step that is under way. */
export interface Pending {
  readonly client: string;
  readonly end: () => void;
}

interface LocalTimer {
  readonly client: string;
  readonly at: number;
  readonly then: () => void;
}

export class FunctionsWorld {
  readonly seed: number;
  readonly chance: Chance;
  readonly program: readonly Op[];
  readonly deep: boolean;
  /** Runs that somebody started from outside. */
  readonly topIds: readonly string[];
  readonly broker: MemoryBroker;
  readonly gate = new Gate((client) => this.kill(client));
  readonly outside: MemoryJournal;
  readonly staff: Staff[] = [];
  readonly pending: Pending[] = [];
  readonly timers: LocalTimer[] = [];
  /** The server's timers. */
  readonly schedules = new Map<string, { readonly runId: string; readonly timer: string; readonly at: number }>();
  /** Which host wrote an entry, by its sequence. */
  readonly authors = new Map<number, string>();
  /** Results that steps have really given. */
  readonly made = new Set<string>();
  /** Ends that were told to whoever waits. */
  readonly told: { readonly runId: string; readonly status: string }[] = [];
  readonly refused = new Set<number>();
  /** What was wrong on the way. */
  readonly surprises = new Set<string>();
  now = 1_700_000_000_000;
  storm: number;
  crashes = 0;
  drains = 0;
  readonly #wanted: number;
  readonly #killAt: FunctionsWorldOptions['killAt'];
  readonly #read = new Map<string, StoredEntry[]>();
  readonly #leases = new Map<string, { readonly length: number; readonly recalled: Recall }>();
  readonly #setAt = new Map<string, number>();
  #born = 0;
  #sent = 0;

  constructor(options: FunctionsWorldOptions) {
    this.seed = options.seed;
    this.chance = new Chance(options.seed);
    this.deep = options.deep ?? true;
    this.program = options.program ?? anyProgram(this.chance, this.deep);
    this.storm = options.storm ?? 100 + this.chance.below(300);
    this.topIds = ['r1', 'r2', 'r3'].slice(0, 1 + this.chance.below(3));
    const clock = { now: () => this.now, sleep: () => new Promise<void>(() => {}) };
    this.broker = new MemoryBroker({ clock, mode: 'manual', faults: (point) => this.#fault(point) });
    this.outside = new MemoryJournal(this.broker, OUTSIDE);
    this.#killAt = options.killAt;
    this.#wanted = options.hosts ?? 1 + this.chance.below(3);
  }

  /** All runs there are, children too. */
  get runIds(): readonly string[] {
    const children = [...this.broker.stream(WORKFLOW).logs.keys()].filter((runId) => !this.topIds.includes(runId));
    return [...this.topIds, ...children];
  }

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
    return this.unlucky(0.03) ? 'lost' : 'none';
  }

  /** Hosts that still take inputs. */
  get serving(): readonly Staff[] {
    return this.staff.filter(({ draining }) => !draining);
  }

  /** Brings up a host where one is missing. */
  async hire(): Promise<void> {
    while (this.serving.length < this.#wanted) {
      const client = `w${++this.#born}`;
      const journal = new MemoryJournal(this.broker, client);
      const fn = workflow<Json, Json>(WORKFLOW, {}, (ctx, input) =>
        interpret(ctx, opsOf(input, this.program), (op, attempt, seen) =>
          effectOf(this, client, { runId: ctx.runId, op, attempt, seen }),
        ),
      );
      const host = new FunctionHost(fn as never, this.#ports(client, journal), {
        worker: client,
        keepResting: this.chance.pick([0, 1, 100]),
      });
      this.staff.push({ client, host, draining: false });
      await journal.consume(WORKFLOW, (delivery) => host.handle(tame(delivery)));
    }
  }

  #ports(client: string, journal: MemoryJournal): HostPorts {
    const gated = gatedJournal(journal, this.gate, client);
    const signed = gatedJournal(
      {
        ...journal,
        entries: (run: RunRef) => journal.entries(run),
        append: (run: RunRef, entry: LogEntry, last: number) => {
          const stream = this.broker.stream(run.workflow);
          const before = stream.lastSeq;
          const appended = journal.append(run, entry, last);
          if (stream.lastSeq > before) this.authors.set(stream.lastSeq, client);
          return appended;
        },
      } as never,
      this.gate,
      client,
    );
    return {
      ...processPorts,
      telemetry: this.#telemetry(),
      journal: {
        append: signed.append,
        entries: gated.entries,
        inputsBetween: (run, after, before) => journal.inputsBetween(run, after, before),
      },
      family: new JournalFamily(
        gated,
        async () => 'd',
        () => this.now,
      ),
      now: () => this.now,
      after: (ms, then) => this.#after(client, ms, then),
      setTimer: (run, timer, at) =>
        this.gate.through(client, 'timer', async () => this.#setTimer(client, run, timer, at)),
      cancelTimer: ({ runId }, timer) => {
        if (!this.broker.isDead(client) && !this.unlucky(0.2)) this.schedules.delete(`${runId}/${timer}`);
      },
      wake: ({ runId }) => {
        for (const { client: other, host } of this.staff) {
          if (!this.broker.isDead(client) && !this.broker.isDead(other) && !this.unlucky(0.3)) host.wake(runId);
        }
      },
      notify: (_, { runId }, { status }) => {
        if (!this.broker.isDead(client)) this.told.push({ runId, status });
      },
      refuse: ({ seq }) =>
        this.gate.through(client, 'refuse', async () => {
          this.#strike(client);
          this.refused.add(seq);
        }),
    };
  }

  #telemetry(): Telemetry {
    const log = {
      ...noTelemetry.log,
      warn: (fields: object, message: string) => {
        const code = (fields as { code?: string }).code;
        if (code !== 'MR_NATS' && code !== 'MR_CONFLICT' && !message.includes('died') && !message.includes('dead')) {
          this.surprises.add(`${code}: ${message}`);
        }
      },
    };
    return { ...noTelemetry, log };
  }

  /** Before a call that is no journal call: it may fail, or be the last. */
  #strike(client: string): void {
    if (this.broker.isDead(client)) throw new SimulatedCrash(`${client} is dead`);
    if (this.unlucky(0.01)) {
      this.kill(client);
      throw new SimulatedCrash(`${client} died`);
    }
    if (this.unlucky(0.03)) throw new MillraceError('MR_NATS', 'not stored', { hint: 'a simulated fault' });
  }

  #setTimer(client: string, { runId }: RunRef, timer: string, at: number): void {
    this.#strike(client);
    const key = `${runId}/${timer}`;
    const known = this.#setAt.get(key);
    if (known !== undefined && this.now - known < WINDOW_MS) return; // the server has its message id already
    this.#setAt.set(key, this.now);
    this.schedules.set(key, { runId, timer, at });
    if (this.unlucky(0.03)) throw new MillraceError('MR_NATS', 'the answer was lost', { hint: 'a simulated fault' });
  }

  #after(client: string, ms: number, then: () => void): () => void {
    if (this.broker.isDead(client)) return () => {};
    const timer = { client, at: this.now + ms, then };
    this.timers.push(timer);
    return () => this.drop(this.timers, timer);
  }

  drop<T>(items: T[], item: T): void {
    const index = items.indexOf(item);
    if (index >= 0) items.splice(index, 1);
  }

  kill(client: string): void {
    this.broker.kill(client);
    this.died(client);
  }

  /** The broker has killed it; nothing of it goes on. */
  died(client: string): void {
    this.crashes++;
    this.gate.kill(client);
    this.#gone(client);
  }

  #gone(client: string): void {
    for (const list of [this.staff, this.pending, this.timers] as { client: string }[][]) {
      for (const one of list.filter((item) => item.client === client)) this.drop(list, one);
    }
  }

  /** An orderly end: nothing of the host is left when it is over. */
  drain(one: Staff): void {
    this.drains++;
    one.draining = true;
    void one.host.drain(3_000).then(() => {
      if (this.broker.isDead(one.client)) return;
      this.broker.kill(one.client);
      this.#gone(one.client);
    });
  }

  /** A number that nothing else has. */
  next(): number {
    return ++this.#sent;
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

  signal(runId: string, name: string): Promise<boolean> {
    return this.send(runId, { v: 1, kind: 'signal', name, payload: { s: `${name}.${++this.#sent}` } });
  }

  log(runId: string): readonly StoredEntry[] {
    const stored = this.broker.stream(WORKFLOW).logs.get(runId) ?? [];
    const known = this.#read.get(runId) ?? [];
    for (const { seq, text } of stored.slice(known.length)) known.push({ ...(JSON.parse(text) as StoredEntry), seq });
    this.#read.set(runId, known);
    return known;
  }

  /** What was sent to the run and is an input. */
  inputsOf(runId: string): readonly InputBody[] {
    const stored = this.broker.stream(WORKFLOW).inputs.get(runId) ?? [];
    return stored.flatMap(({ data }) => {
      const parsed = parseInput(data);
      return parsed.ok ? [parsed.value] : [];
    });
  }

  /** The run's executor and lease, as the log has them. */
  #leaseOf(runId: string): Recall {
    const log = this.log(runId);
    const known = this.#leases.get(runId);
    if (known?.length === log.length) return known.recalled;
    const recalled = recall(WORKFLOW, runId, log);
    this.#leases.set(runId, { length: log.length, recalled });
    return recalled;
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
    const { client } = this.chance.pick(this.serving);
    this.broker.deliver(WORKFLOW, seq, client).catch((error: unknown) => this.surprises.add(`threw ${String(error)}`));
  }

  /** The ack wait of some of what is out has passed, whether its holder lives or not. */
  expire(which: (seq: number) => boolean): void {
    for (const open of this.broker.stream(WORKFLOW).open.values()) if (open.out && which(open.seq)) open.out = false;
  }

  /** Lets one waiting call of a host go on. */
  openGate(): void {
    const which = this.chance.pick(this.gate.waiting);
    if (this.gate.opened + 1 !== this.#killAt?.call) return this.gate.open(which);
    if (this.#killAt.when === 'after') return this.gate.open(which, 'last');
    this.gate.opened++;
    this.kill(which.client);
  }

  /** F8, looked at after every step: a run that executes has its lease in the server's hands, unacknowledged. */
  checkLeases(): void {
    const open = new Set(this.broker.openInputs(WORKFLOW).map(({ seq }) => seq));
    for (const runId of this.runIds) {
      const { state, lease } = this.#leaseOf(runId);
      if (state.status === 'running' && state.suspended !== true && !open.has(lease)) {
        this.surprises.add(`${runId} executes, and its lease ${lease} is acknowledged`);
      }
    }
  }

  /** Jumps to what is due next; false when nothing is. */
  jump(): boolean {
    const open = this.broker.openInputs(WORKFLOW);
    const due = [
      ...this.timers.map(({ at }) => at),
      ...[...this.schedules.values()].map(({ at }) => at),
      ...open.filter(({ out }) => !out).map(({ notBefore }) => notBefore),
    ].filter((time) => time > this.now);
    const wait = open.some(({ out }) => out) ? this.now + ACK_WAIT_MS : Number.POSITIVE_INFINITY;
    const next = Math.min(wait, ...due);
    if (next === Number.POSITIVE_INFINITY) return false;
    this.now = next;
    if (next === wait) this.expire(() => true);
    return true;
  }
}
