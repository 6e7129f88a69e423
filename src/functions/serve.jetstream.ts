/**
 * A process that executes durable functions: connection, streams, consumption, leases, an orderly end.
 *
 * ```ts
 * const serving = await serveWorkflows([order], { nats: 'nats://127.0.0.1:4222' });
 * ```
 */
import { randomUUID } from 'node:crypto';
import type { Subscription } from 'nats';
import { connectNats, type DurableConsumption, type NatsDoor, wireOf } from '../drivers/index.ts';
import {
  type Consumption,
  type Definition,
  forwardTimers,
  type InputDelivery,
  newRun,
  openJournal,
  openOutbox,
  type RunRef,
  systemAssets,
} from '../engine/index.ts';
import { allWakes, inputSubject, MillraceError, wakeSubject, workflowStream } from '../kernel/index.ts';
import { ensureAssets, openDefinitions, sealDefinition } from '../manifests/index.ts';
import { type Janitor, startJanitor } from '../storage/index.ts';
import { noTelemetry, type Telemetry } from '../telemetry/index.ts';
import { definitionOf, functionAssets } from './assets.ts';
import { JournalFamily } from './family.ts';
import { FunctionHost } from './host.ts';
import type { HostPorts } from './host-ports.ts';
import { processPorts } from './process.node.ts';
import type { ServedFunction, WorkflowFunction } from './types.ts';

/** How {@link serveWorkflows} serves; times in ms. */
export interface ServeOptions {
  /** Server URL(s), comma-separated, or a connection that is open already (and stays open). */
  readonly nats: string | NatsDoor;
  readonly token?: string | undefined;
  readonly credsFile?: string | undefined;
  /** Part of the name that claims carry; `worker` by default. */
  readonly name?: string;
  readonly telemetry?: Telemetry;
  /** Runs of one function that execute at once in this process; 1,000 by default. */
  readonly concurrency?: number;
  /** Resting runs of one function kept in memory, so that their next input needs no replay; 1,000 by default. */
  readonly keepResting?: number;
  /** How long a process may be silent before others take its runs over, in ms; 5,000 by default. Set when the consumer is created. */
  readonly leaseMs?: number;
  /** Copies of each stream it creates; 1 by default. */
  readonly replicas?: number;
}

/** Durable functions being served by this process. */
export interface Serving {
  /** What claims in the journals name. */
  readonly name: string;
  /** Runs that execute here now. */
  readonly executing: number;
  /** Takes nothing more, waits up to `deadlineMs` (20,000 by default) for runs to rest or end, gives the rest back, closes. */
  drain(deadlineMs?: number): Promise<void>;
}

const DEFAULT_DRAIN_MS = 20_000;

/**
 * Executes the given functions in this process, beside any number of others.
 * @throws MillraceError MR_NATS_UNREACHABLE, MR_NATS_AUTH, MR_NATS_TOO_OLD, MR_NATS; MR_USAGE when a name is taken by a
 *   declared workflow or given twice
 */
export async function serveWorkflows(functions: readonly ServedFunction[], options: ServeOptions): Promise<Serving> {
  const names = functions.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (names.length === 0 || twice !== undefined) {
    throw new MillraceError(
      'MR_USAGE',
      twice === undefined ? 'no workflows to serve' : `two workflows named "${twice}"`,
    );
  }
  const { nats, token, credsFile } = options;
  const door =
    typeof nats === 'string'
      ? await connectNats({ url: nats, name: options.name ?? 'worker', token, credsFile })
      : nats;
  const server = new Server(door, options);
  try {
    await server.start(functions as unknown as readonly WorkflowFunction[]);
  } catch (error) {
    await server.drain(0);
    throw error;
  }
  return server;
}

interface Lane {
  readonly host: FunctionHost;
  readonly inputs: Consumption;
  readonly wakes: Subscription;
}

class Server implements Serving {
  readonly name: string;
  readonly #door: NatsDoor;
  readonly #options: ServeOptions;
  readonly #telemetry: Telemetry;
  readonly #journal: ReturnType<typeof openJournal>;
  readonly #outbox: ReturnType<typeof openOutbox>;
  readonly #family: JournalFamily;
  readonly #lanes: Lane[] = [];
  #janitor: Janitor | undefined;
  #timers: DurableConsumption | undefined;
  #draining: Promise<void> | undefined;

  constructor(door: NatsDoor, options: ServeOptions) {
    this.#door = door;
    this.#options = options;
    this.#telemetry = options.telemetry ?? noTelemetry;
    const { log } = this.#telemetry;
    this.name = `${options.name ?? 'worker'}-${randomUUID().slice(0, 8)}`;
    this.#journal = openJournal(door, { report: (message, error) => log.warn({ err: error }, message) });
    // Opened when a child run is to be started: by then there is a bucket.
    const definitions = { current: async (name: string) => (await openDefinitions(door.nc)).current(name) };
    this.#outbox = openOutbox({ door, journal: this.#journal, definitions, telemetry: this.#telemetry });
    this.#family = new JournalFamily(
      this.#journal,
      async (name) => (await definitions.current(name))?.digest,
      processPorts.now,
    );
  }

  get executing(): number {
    return this.#lanes.reduce((sum, { host }) => sum + host.executing, 0);
  }

  async start(functions: readonly WorkflowFunction[]): Promise<void> {
    const { nc } = this.#door;
    await ensureAssets(nc, systemAssets(this.#options.replicas ?? 1));
    for (const fn of functions) await this.#serve(fn);
    if (functions.some(({ retention }) => retention !== undefined)) {
      const definitions = await openDefinitions(nc);
      this.#janitor = await startJanitor({ door: this.#door, definitions, telemetry: this.#telemetry });
    }
    this.#timers = forwardTimers({ door: this.#door, journal: this.#journal, telemetry: this.#telemetry });
    this.#telemetry.log.info({ worker: this.name, workflows: functions.map(({ name }) => name) }, 'functions served');
  }

  async #serve(fn: WorkflowFunction): Promise<void> {
    const { nc } = this.#door;
    const { concurrency = 1_000, keepResting } = this.#options;
    const definition = await this.#register(fn);
    await ensureAssets(nc, functionAssets(definition, this.#options));
    const resting = keepResting === undefined ? {} : { keepResting };
    const host = new FunctionHost(fn, this.#ports(), { worker: this.name, ...resting });
    const wakes = nc.subscribe(allWakes(fn.name), {
      callback: (_error, msg) => host.wake(msg.subject.split('.')[2] ?? ''),
    });
    const inputs = await this.#journal.consume(fn.name, (delivery) => host.handle(delivery), {
      maxInFlight: concurrency,
    });
    this.#lanes.push({ host, inputs, wakes });
  }

  /** Makes the function known to the rest of the system: listings, triggers, controllers that must leave it alone. */
  async #register({ name, retention }: WorkflowFunction): Promise<Definition> {
    const definitions = await openDefinitions(this.#door.nc);
    const plain = sealDefinition(definitionOf(name));
    const definition = sealDefinition(definitionOf(name, retention));
    const current = await definitions.current(name);
    await definitions.keep(plain); // clients name this one, also where a manifest has given the function triggers
    if (current?.code === true) {
      const isManifests = current.triggers.length > 0 || current.description !== undefined;
      if (isManifests || retention === undefined || current.digest === definition.digest) return current;
    }
    if (current !== undefined && current.code !== true) {
      throw new MillraceError('MR_USAGE', `workflow "${name}" is a declared one`, {
        hint: 'give the function another name, or remove the manifest and its runs first',
      });
    }
    await definitions.put(definition);
    return definition;
  }

  #ports(): HostPorts {
    const { nc } = this.#door;
    const timer = (
      run: RunRef,
      command: { kind: 'timer'; timer: string; at: number } | { kind: 'timer.cancel'; timer: string },
    ) =>
      this.#outbox.send({
        run,
        state: newRun(run.workflow, run.runId),
        entry: { seq: 0, at: 0 },
        commands: [{ index: 0, command }],
      });
    return {
      ...processPorts,
      telemetry: this.#telemetry,
      journal: this.#journal,
      family: this.#family,
      setTimer: (run, id, at) => timer(run, { kind: 'timer', timer: id, at }),
      cancelTimer: (run, id) => void timer(run, { kind: 'timer.cancel', timer: id }).catch(() => undefined),
      wake: ({ workflow, runId }) => nc.publish(wakeSubject(workflow, runId)),
      notify: (inbox, { runId }, ending) => wireOf(nc).respond(inbox, JSON.stringify({ runId, ...ending })),
      refuse: (delivery, code, reason) => this.#refuse(delivery, code, reason),
    };
  }

  async #refuse({ run, seq, data, headers }: InputDelivery, code: string, reason: string): Promise<void> {
    const { workflow, runId } = run;
    this.#telemetry.log.warn({ ...run, seq, code }, `input refused: ${reason}`);
    await this.#outbox.deadLetter({
      kind: 'input',
      workflow,
      id: runId,
      runId,
      code,
      reason,
      origin: { stream: workflowStream(workflow), sequence: seq, subject: inputSubject(workflow, runId) },
      data,
      headers,
    });
  }

  drain(deadlineMs: number = DEFAULT_DRAIN_MS): Promise<void> {
    this.#draining ??= this.#drain(deadlineMs);
    return this.#draining;
  }

  async #drain(deadlineMs: number): Promise<void> {
    await Promise.all([this.#timers?.stop(), this.#janitor?.stop()]);
    await Promise.all(
      this.#lanes.map(async ({ host, inputs, wakes }) => {
        await Promise.all([inputs.stop(), host.drain(deadlineMs)]);
        wakes.unsubscribe();
      }),
    );
    this.#outbox.close();
    this.#journal.close();
    await this.#telemetry.tracer.flush();
    if (typeof this.#options.nats === 'string') await this.#door.close();
    else await this.#door.nc.flush(); // acknowledgements are fire and forget
  }
}
