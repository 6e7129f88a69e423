/**
 * One process that runs everything it has code for: durable functions and steps of declared workflows.
 *
 * ```ts
 * const running = await worker({ url, workflows: [order], steps: [charge, ship] });
 * ```
 * Boundary: puts `serveWorkflows` and `createWorker` on one connection; both can be had alone.
 */
import { connectNats, installShutdown, type NatsDoor } from '../drivers/index.ts';
import { type ServedFunction, type ServeOptions, type Serving, serveWorkflows } from '../functions/index.ts';
import { MillraceError } from '../kernel/index.ts';
import { noTelemetry } from '../telemetry/index.ts';
import { type AnyStep, createWorker, type StepContext, type Worker, type WorkerOptions } from '../worker/index.ts';

/** What {@link worker} takes; times in ms. */
export interface WorkerSettings
  extends Omit<ServeOptions, 'nats' | 'name'>,
    Pick<WorkerOptions, 'name' | 'http' | 'drainMs' | 'handleSignals'> {
  /** Server URL(s), comma-separated, or a connection that is open already (and stays open). */
  readonly url: string | NatsDoor;
  /** Durable functions. */
  readonly workflows?: readonly ServedFunction[];
  /** Steps of declared workflows; each takes the tasks of its own queue. */
  readonly steps?: readonly AnyStep[];
}

/** A worker that runs. */
export interface RunningWorker {
  /** Attempts of steps and runs of functions that execute here now. */
  readonly running: number;
  /** Address of /healthz and the rest, with `http`. */
  readonly httpUrl: string | undefined;
  /** Takes no more, waits for what is under way (see `drainMs`), gives the rest to others, closes. Once; later calls wait too. */
  drain(): Promise<void>;
}

const DRAIN_MS = 20_000;
/** What is left of the shutdown's time to close connections after the drain, in ms. */
const CLOSE_MS = 5_000;

/**
 * Runs durable functions and steps in this process, beside any number of others, until it is drained or gets SIGTERM or SIGINT.
 * @throws MillraceError MR_USAGE when there is nothing to run, or a name twice; MR_NATS_UNREACHABLE, MR_NATS_AUTH,
 *   MR_NATS_TOO_OLD, MR_NATS, MR_PORT_IN_USE
 */
export async function worker(settings: WorkerSettings): Promise<RunningWorker> {
  const { url, workflows = [], steps = [], name, token, credsFile } = settings;
  if (workflows.length + steps.length === 0) {
    throw new MillraceError('MR_USAGE', 'the worker has nothing to run', { hint: 'give it workflows or steps' });
  }
  const door = typeof url === 'string' ? await connectNats({ url, name: name ?? 'worker', token, credsFile }) : url;
  const running = new Running(settings, door);
  try {
    await running.start(workflows, steps);
  } catch (error) {
    await running.drain();
    throw error;
  }
  return running;
}

class Running implements RunningWorker {
  readonly #settings: WorkerSettings;
  readonly #door: NatsDoor;
  #serving: Serving | undefined;
  #workers: Worker[] = [];
  #draining: Promise<void> | undefined;

  constructor(settings: WorkerSettings, door: NatsDoor) {
    this.#settings = settings;
    this.#door = door;
  }

  get running(): number {
    return this.#workers.reduce((sum, { running }) => sum + running, this.#serving?.executing ?? 0);
  }

  get httpUrl(): string | undefined {
    return this.#workers[0]?.httpUrl;
  }

  async start(workflows: readonly ServedFunction[], steps: readonly AnyStep[]): Promise<void> {
    const { url: _, workflows: __, steps: ___, http, drainMs, handleSignals = true, ...rest } = this.#settings;
    if (workflows.length > 0) this.#serving = await serveWorkflows(workflows, { ...rest, nats: this.#door });
    const queues = new Map<string, AnyStep[]>();
    for (const step of steps) queues.set(step.queue, [...(queues.get(step.queue) ?? []), step]);
    for (const [queue, members] of queues) {
      const first = this.#workers.length === 0 && http !== undefined ? { http } : {};
      const options = { ...rest, ...first, nats: this.#door, queue, handleSignals: false };
      const one = createWorker(drainMs === undefined ? options : { ...options, drainMs });
      this.#workers.push(one);
      for (const step of members) register(one, step);
      await one.start();
    }
    if (handleSignals) this.#installSignals();
  }

  #installSignals(): void {
    const { drainMs = DRAIN_MS, telemetry = noTelemetry } = this.#settings;
    const report = (message: string): void => telemetry.log.info({}, message);
    installShutdown({ deadlineMs: drainMs + CLOSE_MS, report }).onClose('worker', () => this.drain());
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async #drain(): Promise<void> {
    const { drainMs = DRAIN_MS, url } = this.#settings;
    await Promise.all([this.#serving?.drain(drainMs), ...this.#workers.map((one) => one.drain())]);
    if (typeof url === 'string') await this.#door.close();
  }
}

function register(one: Worker, { name, input, output, concurrency, ackWaitMs, run }: AnyStep): void {
  const options = {
    input,
    output,
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(ackWaitMs === undefined ? {} : { ackWaitMs }),
  };
  // What reaches the code has passed its own schema.
  one.handle(name, options, (value, context) => run(value as never, context as StepContext));
}
