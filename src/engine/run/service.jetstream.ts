/**
 * One controller process's engine, put together: inputs of every applied workflow, triggers, timers, advisories.
 *
 * Job: follow the definitions and consume for each. Boundary: creates no streams (apply does) and closes nothing that it
 * was given. Any number of these run at once on the same streams.
 */
import { type Check, type DurableConsumption, type NatsDoor, systemClock } from '../../drivers/index.ts';
import { type Clock, messageOf } from '../../kernel/index.ts';
import type { Telemetry } from '../../telemetry/index.ts';
import { openJournal } from '../journal/journal.jetstream.ts';
import type { Consumption } from '../journal/port.ts';
import type { Definition } from '../model/index.ts';
import { forwardTimers } from '../timers/timers.jetstream.ts';
import { consumeAdvisories } from './advisories.jetstream.ts';
import { Controller, type ControllerOptions } from './controller.ts';
import { openOutbox } from './outbox.jetstream.ts';
import type { DefinitionLookup, ReconcileQueue } from './ports.ts';
import { consumeTrigger } from './triggers.jetstream.ts';

/** Definitions to look up and to follow; `manifests` implements it. */
export interface DefinitionFeed extends DefinitionLookup {
  watch(
    changed: (definition: Definition) => void,
    handlers?: { readonly removed?: (name: string) => void; readonly broken?: (error: unknown) => void },
  ): Promise<{ stop(): Promise<void> }>;
}

export interface ControllerServiceOptions extends ControllerOptions {
  readonly door: NatsDoor;
  readonly definitions: DefinitionFeed;
  /** Where Prefect steps are asked for; without it they wait for a controller that has one. */
  readonly queue?: ReconcileQueue | undefined;
  readonly telemetry: Telemetry;
  readonly clock?: Clock;
  /** Inputs of one workflow handled at once; 256 by default. */
  readonly maxInFlight?: number;
}

export interface ControllerService {
  /** Takes no more, finishes what is under way; what was fetched but not begun goes back to the server. */
  stop(): Promise<void>;
  /** What it depends on, as it is now; never rejects. */
  checks(): Promise<readonly Check[]>;
}

/**
 * Starts the engine.
 * @throws MillraceError MR_DEFINITION_MISSING when nothing was ever applied (no definitions bucket)
 */
export async function startController(options: ControllerServiceOptions): Promise<ControllerService> {
  const service = new Service(options);
  await service.start();
  return service;
}

interface Running {
  readonly definition: Definition;
  /** None for a durable function: its inputs belong to the workers that have its code. */
  readonly inputs: Consumption | undefined;
  readonly triggers: readonly DurableConsumption[];
}

class Service implements ControllerService {
  readonly #options: ControllerServiceOptions;
  readonly #clock: Clock;
  readonly #journal: ReturnType<typeof openJournal>;
  readonly #outbox: ReturnType<typeof openOutbox>;
  readonly #controller: Controller;
  readonly #workflows = new Map<string, Running>();
  /** Changes are carried out one after another. */
  #changes: Promise<void> = Promise.resolve();
  #shared: readonly { readonly name: string; readonly consumption: DurableConsumption }[] = [];
  #watch: { stop(): Promise<void> } | undefined;

  constructor(options: ControllerServiceOptions) {
    const { door, telemetry, definitions, queue, clock = systemClock } = options;
    this.#options = options;
    this.#clock = clock;
    this.#journal = openJournal(door, { report: (message, error) => telemetry.log.warn({ err: error }, message) });
    this.#outbox = openOutbox({ door, journal: this.#journal, definitions, queue, telemetry });
    const ports = { journal: this.#journal, outbox: this.#outbox, definitions, clock, telemetry };
    this.#controller = new Controller(ports, options);
  }

  async start(): Promise<void> {
    const { door, telemetry, definitions } = this.#options;
    const ports = { door, journal: this.#journal, outbox: this.#outbox, telemetry };
    const current = (): readonly Definition[] => [...this.#workflows.values()].map(({ definition }) => definition);
    this.#watch = await definitions.watch((definition) => this.#change(() => this.#follow(definition)), {
      removed: (name) => this.#change(() => this.#leave(name)),
      broken: (error) => telemetry.log.error({ err: error }, `a definition cannot be read: ${messageOf(error)}`),
    });
    await this.#changes;
    this.#shared = [
      { name: 'timers', consumption: forwardTimers(ports) },
      { name: 'advisories', consumption: consumeAdvisories({ ...ports, definitions: current }) },
    ];
  }

  #change(work: () => Promise<void>): void {
    this.#changes = this.#changes.then(work).catch((error: unknown) => {
      this.#options.telemetry.log.error({ err: error }, `a definition was not followed: ${messageOf(error)}`);
    });
  }

  /** Inputs go on over a new definition (runs name theirs by digest); triggers start runs of the new one. */
  async #follow(definition: Definition): Promise<void> {
    const { name, triggers, digest } = definition;
    const before = this.#workflows.get(name);
    if (before !== undefined) await Promise.all(before.triggers.map((trigger) => trigger.stop()));
    const { door, telemetry } = this.#options;
    const inputs = await this.#inputsOf(definition, before?.inputs);
    const ports = { door, journal: this.#journal, outbox: this.#outbox, clock: this.#clock, telemetry };
    this.#workflows.set(name, {
      definition,
      inputs,
      triggers: triggers.map((trigger) => consumeTrigger(ports, definition, trigger)),
    });
    telemetry.log.info({ workflow: name, digest, triggers: triggers.length }, 'workflow followed');
  }

  async #inputsOf({ name, code }: Definition, running: Consumption | undefined): Promise<Consumption | undefined> {
    if (code === true) {
      await running?.stop();
      return undefined;
    }
    if (running !== undefined) return running;
    const { maxInFlight } = this.#options;
    const options = maxInFlight === undefined ? {} : { maxInFlight };
    return this.#journal.consume(name, (delivery) => this.#controller.handle(delivery), options);
  }

  /** A workflow that was taken away starts nothing new; runs that are open go on to their end. */
  async #leave(name: string): Promise<void> {
    const running = this.#workflows.get(name);
    if (running === undefined) return;
    await Promise.all(running.triggers.map((trigger) => trigger.stop()));
    this.#workflows.set(name, { ...running, triggers: [] });
  }

  async stop(): Promise<void> {
    await this.#watch?.stop();
    await this.#changes;
    const running = [...this.#workflows.values()];
    await Promise.all([
      ...running.flatMap(({ triggers }) => triggers.map((trigger) => trigger.stop())),
      ...this.#shared.map(({ consumption }) => consumption.stop()),
    ]);
    await Promise.all(running.map(({ inputs }) => inputs?.stop()));
    this.#outbox.close();
    this.#journal.close();
  }

  async checks(): Promise<readonly Check[]> {
    const { door } = this.#options;
    const checks: Check[] = [await natsCheck(door)];
    for (const [name, { inputs, triggers }] of this.#workflows) {
      const bound = [inputs, ...triggers].every((consumption) => consumption?.bound !== false);
      const detail = bound ? 'its consumers are bound' : 'a consumer of it cannot be had; run `millrace apply`';
      checks.push({ name: `workflow ${name}`, ok: bound, detail });
    }
    for (const { name, consumption } of this.#shared) {
      const detail = consumption.bound ? 'its consumer is bound' : 'its consumer cannot be had; run `millrace apply`';
      checks.push({ name, ok: consumption.bound, detail });
    }
    return checks;
  }
}

const RTT_DEADLINE_MS = 2_000;

async function natsCheck({ nc, url }: NatsDoor): Promise<Check> {
  if (nc.isClosed()) return { name: 'nats', ok: false, detail: `the connection to ${url} is closed` };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${RTT_DEADLINE_MS} ms`)), RTT_DEADLINE_MS);
  });
  try {
    const ms = await Promise.race([nc.rtt(), late]);
    return { name: 'nats', ok: true, detail: `${url} answers in ${ms} ms` };
  } catch (error) {
    return { name: 'nats', ok: false, detail: `${url}: ${messageOf(error)}` };
  } finally {
    clearTimeout(timer);
  }
}
