/**
 * Drives the demo's runs: follows their events, feeds the messages, gives the reviews, waits until all have ended.
 * It watches for what happens, never for time; the deadline is there to say that something is wrong.
 */
import { DeliverPolicy } from '@nats-io/jetstream';
import { headers } from 'nats';
import type { NatsDoor } from '../../src/drivers/index.ts';
import type { InputBody } from '../../src/engine/index.ts';
import { inputSubject, STREAMS } from '../../src/kernel/index.ts';
import type { Tracer } from '../../src/telemetry/index.ts';
import { OpsError } from '../lib/errors.ts';
import { Board, type BoardEvent, parseEvent, progressLine, tableLines } from './board.ts';
import { type Item, isReviewed, type Quake } from './data.ts';
import { type FedRun, feed } from './feeder.nats.ts';
import type { Screen, View } from './screen.node.ts';

export interface DriveOptions {
  readonly door: NatsDoor;
  readonly tracer: Tracer;
  readonly screen: Screen;
  readonly items: readonly Item[];
  readonly salt: string;
  readonly signal: AbortSignal;
  /** Runs whose flow has not ended, at most; more would wait in Prefect and say nothing about it. */
  readonly atOnce: number;
  readonly deadlineMs: number;
  /** Looked at now and then; a sentence when a process has ended that should not have. */
  readonly trouble: () => string | undefined;
}

export interface Driven {
  readonly runs: readonly FedRun[];
  readonly published: number;
  readonly elapsedMs: number;
}

const LOOK_EVERY_MS = 1_000;

/** @throws OpsError when a process ends or the deadline passes; the signal's reason when it aborts */
export async function drive(options: DriveOptions): Promise<Driven> {
  const driver = new Driver(options);
  try {
    return await driver.run();
  } finally {
    driver.stop();
  }
}

class Driver {
  readonly #options: DriveOptions;
  readonly #board = new Board();
  readonly #runs = new Map<string, FedRun>();
  readonly #planned: number;
  readonly #startedAt = Date.now();
  readonly #stopping = new AbortController();
  #fed = false;
  /** Called when something has changed. */
  #wakeUps: (() => void)[] = [];

  constructor(options: DriveOptions) {
    this.#options = options;
    this.#planned = options.items.filter(({ starts }) => starts !== undefined).length;
  }

  stop(): void {
    this.#stopping.abort();
    this.#wake();
  }

  async run(): Promise<Driven> {
    const { screen } = this.#options;
    await this.#follow();
    const guard = this.#guard();
    const feeding = feed({ ...this.#options, room: () => this.#room(), onRun: (run) => this.#onRun(run) });
    const work = feeding.then(async (published) => {
      this.#fed = true;
      await this.#until(() => this.#board.ended >= this.#runs.size);
      return published;
    });
    const published = await Promise.race([work, guard]);
    screen.finish(this.#view);
    return { runs: [...this.#runs.values()], published, elapsedMs: Date.now() - this.#startedAt };
  }

  readonly #view: View = {
    table: () => tableLines(this.#board, this.#planned, Date.now() - this.#startedAt),
    line: () => progressLine(this.#board, this.#planned, Date.now() - this.#startedAt),
  };

  /** Follows all events from now on; an ordered consumer begins again by itself after a gap. */
  async #follow(): Promise<void> {
    const { door } = this.#options;
    const { state } = await door.jsm.streams.info(STREAMS.events);
    const consumer = await door.js.consumers.get(STREAMS.events, {
      filter_subjects: ['evt.run.>', 'evt.step.>'],
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: state.last_seq + 1,
    });
    const messages = await consumer.consume();
    this.#stopping.signal.addEventListener('abort', () => messages.stop());
    void (async () => {
      for await (const { subject } of messages) {
        const event = parseEvent(subject);
        if (event !== undefined) this.#onEvent(event);
      }
    })();
  }

  #onRun(run: FedRun): void {
    this.#runs.set(run.runId, run);
    this.#board.expect(run.workflow, run.runId);
    this.#changed();
  }

  #onEvent(event: BoardEvent): void {
    // Once all messages are out, what is not known by then is an earlier demo's.
    if (this.#fed && !this.#runs.has(event.runId)) return;
    if (this.#board.apply(event)) this.#changed();
    const isAssessed = event.workflow === 'quake-alert' && event.step === 'assess' && event.event === 'completed';
    if (isAssessed) this.#review(event.runId);
  }

  /** The run waits for its review now; about half of them get one, the others end by the wait's timeout. */
  #review(runId: string): void {
    const run = this.#runs.get(runId);
    if (run === undefined || !isReviewed((run.item.payload as Quake).id)) return;
    const body: InputBody = {
      v: 1,
      kind: 'signal',
      name: 'reviewed',
      payload: { by: 'the demo', decision: 'publish' },
      by: 'make demo',
    };
    const hdrs = headers();
    hdrs.set('traceparent', run.traceparent);
    const { js } = this.#options.door;
    const options = { msgID: `reviewed:${runId}`, headers: hdrs, retries: 5 };
    js.publish(inputSubject(run.workflow, runId), JSON.stringify(body), options).catch((error: unknown) => {
      // Then the run ends as one without review, and the summary shows it.
      this.#options.screen.say(`A review could not be sent: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  #room(): Promise<void> {
    return this.#until(() => this.#board.computing < this.#options.atOnce);
  }

  async #until(met: () => boolean): Promise<void> {
    while (!met() && !this.#stopping.signal.aborted && !this.#options.signal.aborted) {
      await new Promise<void>((resolve) => this.#wakeUps.push(resolve));
    }
  }

  #changed(): void {
    this.#options.screen.show(this.#view);
    this.#wake();
  }

  #wake(): void {
    const wakeUps = this.#wakeUps;
    this.#wakeUps = [];
    for (const wake of wakeUps) wake();
  }

  /** Rejects when something is wrong, so that nobody waits for what cannot come. */
  #guard(): Promise<never> {
    const { signal, trouble, deadlineMs, screen } = this.#options;
    return new Promise((_resolve, reject) => {
      const timer = setInterval(() => {
        screen.show(this.#view);
        const wrong = trouble();
        if (wrong !== undefined) reject(new OpsError('MR_COMMAND', wrong));
        else if (Date.now() - this.#startedAt > deadlineMs) reject(this.#late());
      }, LOOK_EVERY_MS);
      this.#stopping.signal.addEventListener('abort', () => clearInterval(timer));
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  }

  #late(): OpsError {
    const open = this.#board.runs.filter(({ runId, status }) => {
      return this.#runs.has(runId) && (status === 'running' || status === 'waiting');
    });
    const shown = open.slice(0, 3).map(({ runId, step }) => `${runId} (at ${step ?? 'its start'})`);
    const minutes = Math.round(this.#options.deadlineMs / 60_000);
    return new OpsError(
      'MR_COMMAND',
      `Not all runs have ended within ${minutes} minutes: ${open.length} are open, for example ${shown.join(', ')}.`,
    );
  }
}
