/**
 * The processes of a test environment: the production controller, function hosts and step runners on a memory server.
 *
 * Job: start them, let faults kill them, start them anew. A process that died goes on executing what JavaScript cannot take from
 * it, but nothing it does reaches the server any more. Boundary: ports in memory.
 */
import { Controller, type InputDelivery, MemoryJournal, SimulatedCrash } from '../engine/index.ts';
import {
  FunctionHost,
  type HostPorts,
  type InterposedCall,
  JournalFamily,
  processPorts,
  type ServedFunction,
} from '../functions/index.ts';
import { type Logger, noTelemetry, type Telemetry } from '../telemetry/index.ts';
import { type AnyStep, HandlerRunner, handlerOf, type RegisteredHandler, type StepContext } from '../worker/index.ts';
import type { Faults, Point } from './faults.ts';
import type { Mocks } from './mocks.ts';
import { memoryOutbox, type Reconcile } from './outbox.memory.ts';
import type { MemoryServer } from './server.ts';

export interface ProcessParts {
  readonly server: MemoryServer;
  readonly faults: Faults;
  readonly mocks: Mocks;
  readonly functions: readonly ServedFunction[];
  readonly steps: readonly AnyStep[];
  /** Resting executions kept in memory. */
  readonly keepResting: number;
  /** Told of every line that a process logs at warn or error. */
  readonly warned: (message: string, fields: object) => void;
  /** An attempt's code begins; gives what to call when it has ended. */
  readonly began: (step: string) => () => void;
}

const NEVER = new Promise<never>(() => {});

/** One process of any role. */
class Process {
  readonly client: string;
  readonly parts: ProcessParts;
  readonly journal: MemoryJournal;
  readonly telemetry: Telemetry;

  constructor(parts: ProcessParts, client: string) {
    this.parts = parts;
    this.client = client;
    this.journal = new MemoryJournal(parts.server.broker, client);
    this.telemetry = { ...noTelemetry, log: this.#log() };
  }

  get isDead(): boolean {
    return this.parts.server.broker.isDead(this.client);
  }

  #log(): Logger {
    const say = (fields: object, message: string): void => {
      if (!this.isDead) this.parts.warned(message, fields);
    };
    const log: Logger = { debug() {}, info() {}, warn: say, error: say, child: () => log };
    return log;
  }

  readonly after = (ms: number, then: () => void): (() => void) => {
    if (this.isDead) return () => {};
    return this.parts.server.clock.after(ms, () => !this.isDead && then(), this.client);
  };

  readonly now = (): number => this.parts.server.clock.now();

  /** Runs the code of a step, or what stands in for it, unless a fault strikes. */
  async attempt(point: Omit<Point, 'at'>, die: () => void, code: () => unknown): Promise<unknown> {
    if (this.isDead) return NEVER;
    const { faults, began } = this.parts;
    const before = faults.strike({ ...point, at: 'step.before' });
    if (before?.do === 'crash') {
      die();
      return NEVER;
    }
    if (before?.do === 'fail') throw before.error ?? new Error(`${point.name ?? 'the step'} was made to fail`);
    const ended = began(point.name ?? '');
    try {
      const given = await code();
      if (this.isDead) return NEVER;
      if (faults.strike({ ...point, at: 'step.after' })?.do !== 'crash') return given;
      die();
      return NEVER;
    } finally {
      ended();
    }
  }
}

/** Everything that runs, and its replacements. */
export class Processes {
  readonly #parts: ProcessParts;
  readonly #reconcile: Reconcile;
  #hosts: readonly FunctionHost[] = [];
  #births = 0;
  /** Processes that died so far. */
  deaths = 0;

  constructor(parts: ProcessParts, reconcile: Reconcile) {
    this.#parts = parts;
    this.#reconcile = reconcile;
  }

  async start(): Promise<void> {
    await Promise.all([this.#controller(), this.#functions(), this.#worker()]);
  }

  /** Kills a process; another of its role is there a moment later. */
  died(client: string): void {
    const { server } = this.#parts;
    if (server.broker.isDead(client)) return;
    this.deaths++;
    server.gone(client);
    const [role] = client.split('-');
    const start = role === 'controller' ? this.#controller : role === 'functions' ? this.#functions : this.#worker;
    processPorts.defer(() => void start.call(this));
  }

  /** Kills all of them. */
  restart(): void {
    for (const client of [...this.#running.values()]) this.died(client);
  }

  readonly #running = new Map<string, string>();

  #hire(role: string): Process {
    const client = `${role}-${++this.#births}`;
    this.#running.set(role, client);
    return new Process(this.#parts, client);
  }

  async #controller(): Promise<void> {
    const member = this.#hire('controller');
    const { journal, telemetry } = member;
    const { server, faults } = this.#parts;
    const owner = { isDead: () => member.isDead, die: () => this.died(member.client), journal };
    const outbox = memoryOutbox(server, faults, owner, this.#reconcile);
    const controller = new Controller({ journal, outbox, definitions: server, clock: server.clock, telemetry });
    for (const name of new Set(server.definitions.filter(({ code }) => code !== true).map((one) => one.name))) {
      await journal.consume(name, (delivery) => controller.handle(delivery));
    }
  }

  async #functions(): Promise<void> {
    const member = this.#hire('functions');
    const hosts: FunctionHost[] = [];
    for (const fn of this.#parts.functions) {
      const options = { worker: member.client, keepResting: this.#parts.keepResting };
      // The function's own schemas stand between its types and the wire.
      const host = new FunctionHost(fn as never, this.#hostPorts(member), options);
      hosts.push(host);
      await member.journal.consume(fn.name, (delivery) => host.handle(tame(delivery)));
    }
    this.#hosts = hosts;
  }

  #hostPorts(member: Process): HostPorts {
    const { server } = this.#parts;
    const living = (act: () => void): void => {
      if (member.isDead) throw new SimulatedCrash(`${member.client} is dead`);
      act();
    };
    return {
      ...processPorts,
      telemetry: member.telemetry,
      journal: member.journal,
      family: new JournalFamily(member.journal, async (name) => (await server.current(name))?.digest, member.now),
      now: member.now,
      after: member.after,
      setTimer: async (run, timer, at) => living(() => server.setTimer(run, timer, at)),
      cancelTimer: (run, timer) => void (member.isDead || server.cancelTimer(run, timer)),
      wake: ({ runId }) => {
        if (!member.isDead) for (const host of this.#hosts) host.wake(runId);
      },
      notify: () => undefined, // whoever waits looks at the log
      refuse: async ({ run }, code, reason) => living(() => server.letter({ kind: 'input', ...run, code, reason })),
      interpose: (call) => this.#interpose(member, call),
    };
  }

  #interpose(member: Process, { run, step, attempt, input, code }: InterposedCall): Promise<unknown> {
    const mock = this.#parts.mocks.of(step);
    const call = { ...run, step, ...detailsOf(attempt), log: member.telemetry.log };
    const point = { ...run, name: step, attempt: attempt.attempt, key: attempt.idempotencyKey };
    return member.attempt(point, () => this.died(member.client), mock === undefined ? code : () => mock(input, call));
  }

  async #worker(): Promise<void> {
    const member = this.#hire('worker');
    for (const { queue, handler } of this.#handlers()) this.#lane(member, queue, handler);
    this.#parts.mocks.changed = () => {
      if (member.isDead) return;
      for (const { queue, handler } of this.#handlers()) this.#lane(member, queue, handler);
    };
  }

  /** What the declared steps call, as far as there is code or a mock for it. */
  #handlers(): readonly { readonly queue: string; readonly handler: RegisteredHandler }[] {
    const { server, steps, mocks } = this.#parts;
    const wanted = new Map<string, { queue: string; name: string }>();
    for (const { steps: declared } of server.definitions) {
      for (const { action, compensate } of declared) {
        const all = [action.kind === 'worker' ? action : undefined, compensate];
        for (const one of all) {
          if (one !== undefined) wanted.set(`${one.queue} ${one.handler}`, { queue: one.queue, name: one.handler });
        }
      }
    }
    return [...wanted.values()].flatMap(({ queue, name }) => {
      const step = steps.find((one) => one.name === name && one.queue === queue);
      if (step !== undefined) return [{ queue, handler: handlerOf(step) }];
      return mocks.of(name) === undefined ? [] : [{ queue, handler: handlerOf(mocks.step(name)) }];
    });
  }

  readonly #lanes = new Set<string>();

  #lane(member: Process, queue: string, handler: RegisteredHandler): void {
    const { server, mocks } = this.#parts;
    const key = `${member.client} ${queue} ${handler.name}`;
    if (this.#lanes.has(key)) return;
    this.#lanes.add(key);
    const run = (input: unknown, context: StepContext): unknown => {
      const { workflow, runId, step: name, attempt, idempotencyKey: key } = context;
      const mock = mocks.of(handler.name) ?? mocks.of(name);
      const code = (): unknown => (mock === undefined ? handler.run(input, context) : mock(input, context));
      const point = { workflow, runId, name, handler: handler.name, attempt, key };
      return member.attempt(point, () => this.died(member.client), code);
    };
    const runner = new HandlerRunner({
      handler: { ...handler, run },
      workerName: member.client,
      queue,
      sink: {
        send: async ({ workflow, runId }, body, msgId) =>
          void (await member.journal.send({ workflow, runId }, body, { msgId })),
        dead: async ({ subject }, code, reason) => server.letter({ kind: 'task', workflow: subject, code, reason }),
      },
      timers: { now: member.now, after: member.after, every: () => () => undefined },
      telemetry: member.telemetry,
      door: undefined,
      onFree: () => void (member.isDead || server.tasks.pump()),
    });
    server.tasks.attach(queue, handler.name, { client: member.client, runner, ackWaitMs: handler.ackWaitMs });
  }
}

/** What a call shares with an attempt of a function's step; its members may be made on demand. */
function detailsOf(attempt: InterposedCall['attempt']) {
  return {
    attempt: attempt.attempt,
    idempotencyKey: attempt.idempotencyKey,
    signal: attempt.signal,
    progress: attempt.progress,
    heartbeat: (details?: unknown) => attempt.heartbeat(details),
  };
}

/** The delivery, for a process that does not hear of its own death: one that dies in an acknowledgement is just gone. */
function tame(delivery: InputDelivery): InputDelivery {
  const quiet =
    <A extends unknown[]>(call: (...args: A) => void) =>
    (...args: A): void => {
      try {
        call(...args);
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) throw error;
      }
    };
  return { ...delivery, ack: quiet(delivery.ack), nak: quiet(delivery.nak), term: quiet(delivery.term) };
}
