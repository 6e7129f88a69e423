/**
 * The worker: a process's handlers, their consumers, and their orderly end.
 *
 * ```ts
 * const worker = createWorker({ nats: 'nats://127.0.0.1:4222' });
 * worker.handle('orders.check', { input: Order, output: Verdict }, async (order, ctx) => …);
 * await worker.start();
 * ```
 */
import type { Subscription } from 'nats';
import type { z } from 'zod';
import {
  type Check,
  connectNats,
  type HttpServer,
  installShutdown,
  type NatsDoor,
  startHttp,
} from '../drivers/index.ts';
import { handlerToken, isToken, MillraceError, STREAMS, taskConsumer } from '../kernel/index.ts';
import { noTelemetry, type Telemetry } from '../telemetry/index.ts';
import { attemptKey } from './attempt.ts';
import { listenForCancels } from './cancels.nats.ts';
import { ensureTaskConsumer } from './consumer.jetstream.ts';
import { Pull } from './pull.jetstream.ts';
import { createResultSink } from './results.jetstream.ts';
import { HandlerRunner } from './runner.ts';
import { processName, processTimers } from './timers.node.ts';
import type { Handler, HandlerOptions, RegisteredHandler, ResultSink } from './types.ts';

/** How a worker connects, takes tasks and ends; times in ms. */
export interface WorkerOptions {
  /** Server URL(s), comma-separated, or a connection that is open already (and stays open after the drain). */
  readonly nats: string | NatsDoor;
  readonly token?: string | undefined;
  readonly credsFile?: string | undefined;
  /** Name of the queue whose tasks this process takes; `default` by default. */
  readonly queue?: string;
  /** Shown in the history of runs; `<host>-<pid>` by default. */
  readonly name?: string;
  readonly telemetry?: Telemetry;
  /** Serves /healthz, /readyz and /metrics; without it nothing listens. Port 0 takes a free one. */
  readonly http?: { readonly port: number; readonly host?: string; readonly metrics?: () => Promise<string> };
  /** How long the drain waits for attempts under way, in ms; 20,000 by default. */
  readonly drainMs?: number;
  /** Drain and exit on SIGTERM and SIGINT; true by default. */
  readonly handleSignals?: boolean;
}

/** A process that runs steps of declared workflows: see {@link createWorker}. */
export interface Worker {
  /** The name in the history of runs. */
  readonly name: string;
  /** Address of /healthz and the rest, once started with `http`. */
  readonly httpUrl: string | undefined;
  /** Attempts running now. */
  readonly running: number;
  /**
   * Registers a handler; before the start.
   * @throws MillraceError MR_USAGE for a name that is taken or cannot be a name, or after the start
   */
  handle<I extends z.ZodType, O extends z.ZodType>(
    name: string,
    options: HandlerOptions<I, O>,
    run: Handler<I, O, NatsDoor>,
  ): Worker;
  /**
   * Connects and begins to take tasks.
   * @throws MillraceError MR_NATS_UNREACHABLE, MR_NATS_AUTH, MR_NATS_TOO_OLD, MR_NATS, MR_PORT_IN_USE, MR_USAGE
   */
  start(): Promise<void>;
  /** Takes no more, waits for attempts under way (see `drainMs`), gives the rest back, closes. Once; later calls wait too. */
  drain(): Promise<void>;
}

const DEFAULTS = { concurrency: 10, ackWaitMs: 30_000, drainMs: 20_000 } as const;

/** What is left of the shutdown's time to close connections after the drain, in ms. */
const CLOSE_MS = 5_000;

/** Makes a worker; it does nothing until its start. */
export function createWorker(options: WorkerOptions): Worker {
  return new NatsWorker(options);
}

interface Lane {
  readonly runner: HandlerRunner;
  readonly pull: Pull;
}

class NatsWorker implements Worker {
  readonly name: string;
  readonly #options: WorkerOptions;
  readonly #queue: string;
  readonly #telemetry: Telemetry;
  readonly #handlers = new Map<string, RegisteredHandler>();
  #lanes: Lane[] = [];
  #door: NatsDoor | undefined;
  #sink: ReturnType<typeof createResultSink> | undefined;
  #cancels: Subscription | undefined;
  #http: HttpServer | undefined;
  #draining: Promise<void> | undefined;
  #stopped = false;
  #connected = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#queue = options.queue ?? 'default';
    this.name = options.name ?? processName();
    this.#telemetry = options.telemetry ?? noTelemetry;
    if (!isToken(this.#queue)) throw usage(`"${this.#queue}" cannot name a queue`);
  }

  get httpUrl(): string | undefined {
    return this.#http?.url;
  }

  get running(): number {
    return this.#lanes.reduce((sum, { runner }) => sum + runner.running, 0);
  }

  handle<I extends z.ZodType, O extends z.ZodType>(
    name: string,
    options: HandlerOptions<I, O>,
    run: Handler<I, O, NatsDoor>,
  ): Worker {
    if (this.#door !== undefined) throw usage(`handler "${name}" comes after the start`);
    const clash = [...this.#handlers.keys()].find((other) => handlerToken(other) === handlerToken(name));
    if (clash !== undefined) throw usage(`handler "${name}" is taken${clash === name ? '' : ` by "${clash}"`}`);
    const { concurrency = DEFAULTS.concurrency, ackWaitMs = DEFAULTS.ackWaitMs } = options;
    if (!Number.isInteger(concurrency) || concurrency < 1) throw usage(`concurrency of "${name}" must be at least 1`);
    if (!(ackWaitMs >= 100)) throw usage(`ackWaitMs of "${name}" must be at least 100`);
    // The schemas stand between the handler's types and the wire: what reaches `run` has passed `input`.
    const untyped = run as unknown as RegisteredHandler['run'];
    this.#handlers.set(name, {
      name,
      input: options.input,
      output: options.output,
      concurrency,
      ackWaitMs,
      run: untyped,
    });
    return this;
  }

  async start(): Promise<void> {
    if (this.#door !== undefined || this.#draining !== undefined) throw usage('the worker was started already');
    if (this.#handlers.size === 0) throw usage('the worker has no handlers');
    const { nats, token, credsFile, http } = this.#options;
    const door = typeof nats === 'string' ? await connectNats({ url: nats, name: this.name, token, credsFile }) : nats;
    this.#door = door;
    this.#connected = true;
    const sink = createResultSink(door, processTimers, () => this.#stopped);
    this.#sink = sink;
    void this.#followStatus(door);
    try {
      if (http !== undefined) this.#http = await this.#serve(http);
      for (const handler of this.#handlers.values()) this.#lanes.push(await this.#open(door, handler, sink));
      this.#cancels = listenForCancels(door.nc, (message) => {
        for (const { runner } of this.#lanes) runner.cancel(attemptKey(message), message);
      });
      for (const { pull } of this.#lanes) pull.start();
    } catch (error) {
      await this.drain();
      throw error;
    }
    if (this.#options.handleSignals ?? true) this.#installSignals();
    const handlers = [...this.#handlers.keys()];
    this.#telemetry.log.info({ worker: this.name, queue: this.#queue, handlers }, 'worker started');
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async #drain(): Promise<void> {
    await Promise.all(this.#lanes.map(({ pull }) => pull.stop()));
    await Promise.all(this.#lanes.map(({ runner }) => runner.drain(this.#options.drainMs ?? DEFAULTS.drainMs)));
    this.#stopped = true;
    this.#sink?.close();
    this.#cancels?.unsubscribe();
    await this.#http?.close();
    await this.#telemetry.tracer.flush();
    // Acknowledgements are fire and forget: a flush makes sure that the last ones leave before we do.
    const door = this.#door;
    if (door === undefined) return;
    if (typeof this.#options.nats === 'string') await door.close();
    else await door.nc.flush();
    this.#telemetry.log.info({ worker: this.name }, 'worker drained');
  }

  async #open(door: NatsDoor, registered: RegisteredHandler, sink: ResultSink): Promise<Lane> {
    const ackWaitMs = await ensureTaskConsumer(door, this.#queue, registered);
    const { log } = this.#telemetry;
    if (ackWaitMs !== registered.ackWaitMs) {
      const fields = { handler: registered.name, wanted: registered.ackWaitMs, has: ackWaitMs };
      log.warn(fields, 'the consumer exists with another ack wait, which holds');
    }
    const handler: RegisteredHandler = { ...registered, ackWaitMs };
    const runner: HandlerRunner = new HandlerRunner({
      handler,
      workerName: this.name,
      queue: this.#queue,
      sink,
      timers: processTimers,
      telemetry: this.#telemetry,
      door,
      onFree: () => pull.ask(),
    });
    const pull: Pull = new Pull({
      nc: door.nc,
      stream: STREAMS.tasks,
      consumer: taskConsumer(this.#queue, handler.name),
      timers: processTimers,
      log,
      free: () => runner.free,
      deliver: (delivery) => runner.deliver(delivery),
      ensure: async () => void (await ensureTaskConsumer(door, this.#queue, handler)),
    });
    return { runner, pull };
  }

  #serve({ port, host, metrics }: NonNullable<WorkerOptions['http']>): Promise<HttpServer> {
    return startHttp({
      port,
      ...(host === undefined ? {} : { host }),
      health: async () => this.#checks(),
      metrics: metrics ?? (async () => ''),
    });
  }

  async #followStatus({ nc }: NatsDoor): Promise<void> {
    for await (const status of nc.status()) {
      if (status.type === 'disconnect') this.#connected = false;
      if (status.type === 'reconnect') this.#connected = true;
    }
  }

  #checks(): readonly Check[] {
    const nc = this.#door?.nc;
    const connected = nc !== undefined && !nc.isClosed() && this.#connected;
    const taking = this.#draining === undefined && this.#lanes.length === this.#handlers.size;
    return [
      { name: 'nats', ok: connected, detail: connected ? 'connected' : 'not connected' },
      { name: 'tasks', ok: taking, detail: taking ? `${this.running} attempts running` : 'takes no tasks' },
    ];
  }

  #installSignals(): void {
    const shutdown = installShutdown({
      deadlineMs: (this.#options.drainMs ?? DEFAULTS.drainMs) + CLOSE_MS,
      report: (message) => this.#telemetry.log.info({ worker: this.name }, message),
    });
    shutdown.onClose('worker', () => this.drain());
  }
}

function usage(message: string): MillraceError {
  return new MillraceError('MR_USAGE', message);
}
