/**
 * What stands in for nats-server and everything behind it: journals, timers, tasks, events, dead letters, definitions.
 *
 * Job: keep what is to survive the death of every process, and make it move when time does. Boundary: memory only.
 */
import {
  type Definition,
  type DefinitionLookup,
  fold,
  type InputBody,
  MemoryBroker,
  MemoryJournal,
  type RunRef,
  type RunState,
  type StoredEntry,
  storedEntry,
} from '../engine/index.ts';
import { isObject, type Json, MillraceError } from '../kernel/index.ts';
import type { VirtualClock } from './clock.ts';
import type { Faults } from './faults.ts';
import { TaskQueues } from './tasks.ts';

/** An event that the engine published. */
export interface TestEvent {
  readonly workflow: string;
  readonly runId: string;
  /** None for an event of the run itself. */
  readonly step?: string;
  readonly event: string;
  readonly data: Json;
}

/** A message that was given up. */
export interface TestLetter {
  readonly kind: string;
  readonly workflow: string;
  readonly runId?: string | undefined;
  readonly code: string;
  readonly reason: string;
}

/** The client whose calls no fault strikes: the test itself, and the server's own timers. */
const OUTSIDE = 'outside';
/** How long the server waits for an acknowledgement before it delivers again, in ms. */
const ACK_WAIT_MS = 5_000;

export class MemoryServer implements DefinitionLookup {
  readonly clock: VirtualClock;
  readonly broker: MemoryBroker;
  /** Nobody's own: never struck by faults. */
  readonly outside: MemoryJournal;
  readonly tasks: TaskQueues;
  readonly events: TestEvent[] = [];
  readonly letters: TestLetter[] = [];
  readonly #definitions = new Map<string, Definition>();
  readonly #schedules = new Map<string, () => void>();
  #sent = 0;

  constructor(clock: VirtualClock, faults: Faults, died: (client: string) => void) {
    this.clock = clock;
    this.broker = new MemoryBroker({
      clock,
      faults: (point) => {
        if (point.client === OUTSIDE) return 'none';
        const fault = faults.atBroker(point);
        if (fault === 'crash') died(point.client);
        if (fault === 'lost' && point.op === 'ack') this.#again(point.run.workflow);
        return fault;
      },
    });
    this.outside = new MemoryJournal(this.broker, OUTSIDE);
    this.tasks = new TaskQueues(clock);
  }

  define(definition: Definition): void {
    this.#definitions.set(definition.name, definition);
    this.#definitions.set(`${definition.name} ${definition.digest}`, definition);
  }

  async current(workflow: string): Promise<Definition | undefined> {
    return this.#definitions.get(workflow);
  }

  async byDigest(workflow: string, digest: string): Promise<Definition | undefined> {
    return this.known(workflow, digest);
  }

  /** The definition that a run carries. */
  known(workflow: string, digest: string): Definition | undefined {
    return this.#definitions.get(`${workflow} ${digest}`);
  }

  /** @throws MillraceError MR_WORKFLOW_MISSING */
  definition(workflow: string): Definition {
    const definition = this.#definitions.get(workflow);
    if (definition !== undefined) return definition;
    const names = [...this.#definitions.keys()].filter((name) => !name.includes(' '));
    throw new MillraceError('MR_WORKFLOW_MISSING', `the test environment has no workflow "${workflow}"`, {
      hint: `give it to testEnvironment; it has ${names.join(', ') || 'none'}`,
    });
  }

  /** Every definition, each once. */
  get definitions(): readonly Definition[] {
    return [...new Set(this.#definitions.values())];
  }

  /** Stores an input as someone outside would. */
  async send(run: RunRef, body: InputBody, msgId = `outside:${++this.#sent}`): Promise<{ duplicate: boolean }> {
    return this.outside.send(run, body, { msgId });
  }

  log(run: RunRef): readonly StoredEntry[] {
    const stored = this.broker.stream(run.workflow).logs.get(run.runId) ?? [];
    return stored.map(({ seq, text }) => storedEntry(JSON.parse(text), seq));
  }

  state(run: RunRef): RunState {
    return fold(run.workflow, run.runId, this.log(run));
  }

  /** Puts a recorded log into an empty place, with the sequences it was recorded under. */
  load(run: RunRef, entries: readonly StoredEntry[]): void {
    const stream = this.broker.stream(run.workflow);
    let last = 0;
    for (const { seq, ...entry } of entries) {
      stream.lastSeq = Math.max(stream.lastSeq, seq - 1);
      this.broker.storeLog(run, JSON.stringify(entry), last);
      last = seq;
    }
  }

  setTimer(run: RunRef, timer: string, at: number): void {
    const key = `${run.workflow}/${run.runId}/${timer}`;
    this.#schedules.get(key)?.();
    const fire = (): void => {
      this.#schedules.delete(key);
      void this.send(run, { v: 1, kind: 'timer', timer, at });
    };
    this.#schedules.set(key, this.clock.after(at - this.clock.now(), fire));
  }

  cancelTimer({ workflow, runId }: RunRef, timer: string): void {
    const key = `${workflow}/${runId}/${timer}`;
    this.#schedules.get(key)?.();
    this.#schedules.delete(key);
  }

  /** The message id of a schedule's firing is lost, and so may be an acknowledgement: after the ack wait it comes again. */
  #again(workflow: string): void {
    this.clock.after(ACK_WAIT_MS, () => {
      this.broker.expireAckWait(workflow, ({ holder }) => holder === '' || this.broker.isDead(holder));
    });
  }

  /** A process died: what it held is delivered again. */
  gone(client: string): void {
    this.broker.kill(client);
    this.clock.drop(client);
    this.tasks.gone(client);
    for (const { name } of this.definitions) this.#again(name);
  }

  /** Loses a message of the journal's kind: what a poison input becomes. */
  letter(letter: TestLetter): void {
    const { kind, workflow, runId, code, reason } = letter;
    this.letters.push({ kind, workflow, runId, code, reason });
  }

  event(run: RunRef, step: string | undefined, event: string, data: Json): void {
    this.events.push({
      ...run,
      ...(step === undefined ? {} : { step }),
      event,
      data: isObject(data) ? { ...data } : data,
    });
  }
}
