/** A controller's part in schedules: handles inputs of lines, and keeps lines, definitions and clocks telling the same. */
import {
  type Check,
  consumeDurable,
  type Delivered,
  type DurableConsumption,
  type NatsDoor,
  systemClock,
} from '../drivers/index.ts';
import type { DefinitionFeed, Journal } from '../engine/index.ts';
import { type Clock, messageOf, parseLineSubject, SCHEDULE_CONSUMER, STREAMS } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import { Keeper } from './keeper.ts';
import { Lines } from './lines.ts';
import { runsOverJournal } from './runs.ts';
import { type JetStreamLines, openLines } from './store.jetstream.ts';

export interface SchedulesOptions {
  readonly door: NatsDoor;
  readonly definitions: DefinitionFeed;
  readonly journal: Journal;
  readonly telemetry: Telemetry;
  readonly clock?: Clock;
}

export interface Schedules {
  stop(): Promise<void>;
  /** What it depends on, as it is now; never rejects. */
  checks(): Promise<readonly Check[]>;
}

/** How often the keeper looks; a start that waits for another run's end is so late at most. */
const TICK_MS = 500;

/**
 * Starts it. Any number of processes may do so.
 * @throws MillraceError MR_DEFINITION_MISSING when nothing was ever applied
 */
export async function startSchedules(options: SchedulesOptions): Promise<Schedules> {
  const service = new Service(options);
  await service.start();
  return service;
}

class Service implements Schedules {
  readonly #options: SchedulesOptions;
  readonly #store: JetStreamLines;
  readonly #lines: Lines;
  readonly #keeper: Keeper;
  readonly #stopping = new AbortController();
  #consumption: DurableConsumption | undefined;
  #stops: (() => Promise<void>)[] = [];
  #ticking: Promise<void> = Promise.resolve();

  constructor(options: SchedulesOptions) {
    const { door, journal, definitions, telemetry, clock = systemClock } = options;
    this.#options = options;
    this.#store = openLines(door, (message, error) => telemetry.log.warn({ err: error }, message));
    const runs = runsOverJournal({ journal, definitions, telemetry });
    this.#lines = new Lines({ store: this.#store, runs, clock, telemetry });
    const current = (workflow: string) => definitions.current(workflow);
    this.#keeper = new Keeper({ store: this.#store, runs, current, clock, telemetry });
  }

  async start(): Promise<void> {
    const { door, definitions, telemetry } = this.#options;
    const watch = await definitions.watch((definition) => this.#keeper.defined(definition), {
      removed: (name) => this.#keeper.undefined(name),
    });
    const follow = await this.#store.watch((entry) => this.#keeper.line(entry));
    this.#stops = [() => watch.stop(), () => follow.stop()];
    this.#consumption = consumeDurable({
      door,
      stream: STREAMS.schedules,
      consumer: SCHEDULE_CONSUMER,
      maxInFlight: 64,
      handle: (msg) => this.#handle(msg),
      report: (message, error) => telemetry.log.warn({ err: error }, message),
    });
    this.#ticking = this.#tick();
  }

  async #tick(): Promise<void> {
    const { clock = systemClock } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#keeper.tick();
      await clock.sleep(TICK_MS, signal).catch(() => undefined);
    }
  }

  async #handle(msg: Delivered): Promise<void> {
    const ref = parseLineSubject(msg.subject);
    if (ref === undefined) return msg.term('not the subject of a schedule');
    const { seq, at, data, deliveries } = msg;
    let handled = false;
    await this.#lines.handle({
      ...{ ref, seq, at, data, deliveries },
      ack: () => {
        handled = true;
        msg.ack();
      },
      nak: (delayMs) => msg.nak(delayMs),
      term: (reason) => msg.term(reason),
    });
    if (!handled) return;
    // What it meant is in the log; the input itself is of no use to anyone.
    const { log } = this.#options.telemetry;
    this.#options.door.jsm.streams.deleteMessage(STREAMS.schedules, seq, false).catch((error: unknown) => {
      log.debug({ ...ref, seq }, `an input that was handled is left behind: ${messageOf(error)}`);
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#ticking;
    await Promise.all(this.#stops.map((stop) => stop()));
    await this.#consumption?.stop();
    this.#store.close();
  }

  async checks(): Promise<readonly Check[]> {
    const ok = this.#consumption?.bound === true;
    const detail = ok ? 'its consumer is bound' : 'its consumer cannot be had; run `millrace apply`';
    return [{ name: 'schedules', ok, detail }];
  }
}
