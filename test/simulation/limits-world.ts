/**
 * A world around limits: keepers that die and come back, sweeps, a server's timers, and runs that ask, work, give back, forget
 * to, and are asked to end. First the storm, then the calm, as in world.ts; the same seed is the same world.
 */
import {
  type Fault,
  type Holder,
  type InputBody,
  type LimitPolicy,
  MemoryBroker,
  type StoredEntry,
  type Transition,
} from '../../src/engine/index.ts';
import { limitKeyToken, MillraceError } from '../../src/kernel/index.ts';
import {
  foldLimit,
  type LimitJournal,
  LimitKeeper,
  type LimitRef,
  LimitSweep,
  limitEntryOf,
  MemoryLimits,
  type StoredLimitEntry,
} from '../../src/limits/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { Chance } from './chance.ts';
import { Gate } from './gate.ts';

const LIMIT = 'workflow:sim';
const STREAM = 'limits';
const OUTSIDE = 'outside';
const WINDOW_MS = 120_000;
const ACK_WAIT_MS = 30_000;

type SlotBody = Extract<InputBody, { kind: 'slot' }>;

/** A run as a limit knows it. */
export interface SimulatedRun {
  readonly holder: Holder;
  readonly ref: LimitRef;
  readonly key: string;
  readonly priority: number;
  ask: number;
  phase: 'new' | 'waits' | 'works' | 'ended';
  /** It ended without a word: only the sweep can find out. */
  forgot: boolean;
  token: number | undefined;
}

export class LimitsWorld {
  readonly seed: number;
  readonly chance: Chance;
  readonly policy: LimitPolicy;
  readonly broker: MemoryBroker;
  readonly gate = new Gate((client) => this.kill(client));
  readonly runs: readonly SimulatedRun[];
  readonly clients: string[] = [];
  readonly surprises: unknown[] = [];
  /** Every entry that was ever stored, by key: rollups remove them from the log. */
  readonly history = new Map<string, StoredLimitEntry[]>();
  readonly findings: string[] = [];
  now = 1_700_000_000_000;
  storm: number;
  crashes = 0;
  readonly #keepers: number;
  readonly #outside: MemoryLimits;
  readonly #timers: MemoryLimits['timers'] = new Map();
  readonly #told = new Map<string, number>();
  #born = 0;
  #sent = 0;

  constructor(seed: number, storm?: number) {
    this.seed = seed;
    this.chance = new Chance(seed);
    const { chance } = this;
    this.storm = storm ?? 100 + chance.below(300);
    this.#keepers = 1 + chance.below(3);
    const onFull = chance.pick(['queue', 'queue', 'cancelOldest', 'cancelNewest', 'drop'] as const);
    const rate = { limit: 1 + chance.below(3), perMs: chance.pick([100, 5_000]) };
    const slots = 1 + chance.below(3);
    this.policy = chance.pick([
      { slots, onFull },
      { slots, onFull },
      { rate, onFull },
      { slots, rate, onFull },
    ]);
    const clock = { now: () => this.now, sleep: () => new Promise<void>(() => {}) };
    this.broker = new MemoryBroker({
      clock,
      mode: 'manual',
      faults: ({ client }) => (client === OUTSIDE ? 'none' : this.#fault(client)),
    });
    this.#outside = new MemoryLimits(this.broker, OUTSIDE, this.#timers);
    const keys = chance.pick([[''], ['', 'k']]);
    this.runs = Array.from({ length: 2 + chance.below(7) }, (_, n): SimulatedRun => {
      const key = chance.pick(keys);
      return {
        holder: { workflow: 'sim', runId: `r${n}` },
        ref: { limit: LIMIT, token: limitKeyToken(LIMIT, key) },
        key,
        priority: 1 + chance.below(5),
        ask: 0,
        phase: 'new',
        forgot: false,
        token: undefined,
      };
    });
  }

  get stormy(): boolean {
    return this.storm > 0;
  }

  unlucky(probability: number): boolean {
    return this.stormy && this.chance.happens(probability);
  }

  #fault(client: string): Fault {
    if (this.unlucky(0.01)) {
      this.died(client);
      return 'crash';
    }
    return this.unlucky(0.05) ? this.chance.pick(['lost', 'conflict'] as const) : 'none';
  }

  kill(client: string): void {
    this.broker.kill(client);
    this.died(client);
  }

  died(client: string): void {
    this.crashes++;
    this.gate.kill(client);
    const index = this.clients.indexOf(client);
    if (index >= 0) this.clients.splice(index, 1);
  }

  staff(): void {
    while (this.clients.length < this.#keepers) {
      const client = `k${++this.#born}`;
      this.clients.push(client);
      const journal = gated(new MemoryLimits(this.broker, client, this.#timers), this.gate, client);
      const { clock } = this.broker;
      const tell = (run: { runId: string }, body: InputBody, msgId: string): Promise<void> =>
        this.gate.through(client, 'tell', async () => this.#tell(client, run.runId, body, msgId));
      const keeper = new LimitKeeper({ journal, tell, clock, telemetry: noTelemetry });
      journal.consume((delivery) => keeper.handle(delivery));
    }
  }

  async #tell(client: string, runId: string, body: InputBody, msgId: string): Promise<void> {
    const lost = this.#fault(client);
    if (lost === 'crash') return new Promise(() => {});
    const known = this.#told.get(msgId);
    if (known === undefined || this.now - known >= WINDOW_MS) {
      this.#told.set(msgId, this.now);
      if (body.kind === 'slot') this.hear(runId, body);
    }
    if (lost !== 'none') throw new MillraceError('MR_NATS', 'the answer was lost', { hint: 'a simulated fault' });
  }

  /** What a run makes of a limit's word, as the engine's model does. */
  hear(runId: string, { verdict, ask, slot }: SlotBody): void {
    const run = this.runs.find(({ holder }) => holder.runId === runId);
    if (run === undefined || run.ask !== ask || run.phase === 'ended') return;
    if (verdict === 'granted') {
      if (run.phase !== 'waits') return;
      run.phase = 'works';
      run.token = slot.token;
    } else this.end(run);
  }

  ask(run: SimulatedRun): void {
    const { holder, ask, priority, key } = run;
    run.phase = 'waits';
    this.#send(
      run,
      { v: 1, kind: 'ask', key, holder, ask, priority, policy: this.policy },
      `ask:${holder.runId}:${ask}`,
    );
  }

  /** A command that is sent again while the run still waits. */
  askAgain(run: SimulatedRun): void {
    const { holder, ask, priority, key } = run;
    const id = this.chance.happens(0.5) ? `ask:${holder.runId}:${ask}` : `again:${++this.#sent}`;
    this.#send(run, { v: 1, kind: 'ask', key, holder, ask, priority, policy: this.policy }, id);
  }

  end(run: SimulatedRun): void {
    run.phase = 'ended';
    run.token = undefined;
    run.forgot = this.unlucky(0.15);
    if (!run.forgot) this.freeAgain(run);
  }

  freeAgain({ holder, ask, ref }: SimulatedRun): void {
    this.#outside.store(ref, { v: 1, kind: 'free', holder, ask }, `free:${++this.#sent}`);
  }

  #send(run: SimulatedRun, body: Parameters<MemoryLimits['store']>[1], id: string): void {
    this.#outside.store(run.ref, body, id);
  }

  /** Timers that are due fire. */
  fire(): boolean {
    const due = [...this.#timers].filter(([, { at }]) => at <= this.now);
    for (const [key, { ref }] of due) {
      this.#timers.delete(key);
      this.#outside.store(ref, { v: 1, kind: 'timer' });
    }
    return due.length > 0;
  }

  /** The run's journal, as far as the sweep looks at it. */
  #entriesOf(runId: string): readonly StoredEntry[] {
    const run = this.runs.find(({ holder }) => holder.runId === runId);
    if (run === undefined || run.phase === 'new') return [];
    const transitions: Transition[] = [
      { type: 'RunStarted', digest: 'd', payload: null },
      ...Array.from({ length: run.ask }, () => ({ type: 'RunRetried', steps: [] }) as const),
      { type: 'RunQueued', limits: [{ limit: LIMIT, key: run.key }] },
    ];
    if (run.phase === 'works') transitions.push({ type: 'RunAdmitted' });
    if (run.phase === 'ended') transitions.push({ type: 'RunCompleted' });
    return [{ v: 1, cause: 1, at: this.now, transitions, seq: 2 }];
  }

  async sweep(): Promise<void> {
    const tell = async ({ runId }: { runId: string }, body: InputBody): Promise<void> => {
      if (body.kind === 'slot') this.hear(runId, body);
    };
    const runs = { entries: async ({ runId }: { runId: string }) => this.#entriesOf(runId) };
    const { clock } = this.broker;
    await new LimitSweep({ limits: this.#outside, runs, tell, clock, telemetry: noTelemetry }).sweep();
  }

  deliverable(): readonly number[] {
    const open = this.broker.openInputs(STREAM).filter(({ out, notBefore }) => !out && notBefore <= this.now);
    const first = open.find(({ deliveries }) => deliveries === 0);
    return open.filter((one) => one === first || one.deliveries > 0).map(({ seq }) => seq);
  }

  deliver(seq: number): void {
    const client = this.chance.pick(this.clients);
    this.broker.deliver(STREAM, seq, client).catch((error: unknown) => this.surprises.push(error));
  }

  expireAckWait(): void {
    this.broker.expireAckWait(STREAM);
  }

  get open(): number {
    return this.broker.openInputs(STREAM).length;
  }

  /** Jumps to what is due next; false when nothing is. */
  jump(): boolean {
    const open = this.broker.openInputs(STREAM);
    const due = [
      ...[...this.#timers.values()].map(({ at }) => at),
      ...open.filter(({ out }) => !out).map(({ notBefore }) => notBefore),
      ...(open.some(({ out }) => out) ? [this.now + ACK_WAIT_MS] : []),
    ].filter((time) => time > this.now);
    if (due.length === 0) return false;
    this.now = Math.min(...due);
    if (open.some(({ out }) => out)) this.expireAckWait();
    return true;
  }

  /** Takes note of new entries, and of what must be true after each of them. */
  observe(): void {
    for (const [runId, log] of this.broker.stream(STREAM).logs) {
      const known = this.history.get(runId) ?? [];
      this.history.set(runId, known);
      for (const { seq, text } of log) {
        if ((known.at(-1)?.seq ?? 0) < seq) known.push(limitEntryOf(text, seq, runId));
      }
      const state = foldLimit(
        LIMIT,
        log.map(({ seq, text }) => limitEntryOf(text, seq, runId)),
      );
      const works = this.runs.filter(({ phase, ref }) => phase === 'works' && runId.endsWith(`|${ref.token}`));
      const { slots = Number.POSITIVE_INFINITY } = this.policy;
      if (state.held.length > slots) this.findings.push(`${state.held.length} hold a slot of ${slots}`);
      if (works.length > slots) this.findings.push(`${works.length} work in ${slots} slots`);
      for (const { holder, token } of works) {
        const has = state.held.some((one) => one.holder.runId === holder.runId && one.token === token);
        if (this.policy.slots !== undefined && !has) this.findings.push(`${holder.runId} works without a slot`);
      }
    }
  }

  get timersSet(): number {
    return this.#timers.size;
  }
}

/** The limits' journal as a keeper sees it: each call waits at the gate. */
function gated(journal: LimitJournal, gate: Gate, client: string): LimitJournal {
  const through = <T>(what: string, call: () => Promise<T>): Promise<T> => gate.through(client, what, call);
  return {
    entries: (ref) => through('entries', () => journal.entries(ref)),
    append: (ref, entry, last) => through('append', () => journal.append(ref, entry, last)),
    openAsks: (ref, before) => through('asks', () => journal.openAsks(ref, before)),
    ask: (ref, body, id) => through('ask', () => journal.ask(ref, body, id)),
    setTimer: (ref, at) => through('timer', () => journal.setTimer(ref, at)),
    refs: () => journal.refs(),
    forget: (ref, read) => journal.forget(ref, read),
    consume: (handle) => journal.consume(handle),
  };
}
