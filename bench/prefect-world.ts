/**
 * The servers and processes of bench/prefect.ts: NATS, Redis and Prefect as provisioned, a controller and a flow host as
 * the demo starts them, and Prefect's own worker on a process work pool beside them.
 */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  freePort,
  prefectPython,
  type ServerHandle,
  startNats,
  startPrefect,
  startProcess,
  startRedis,
} from '../ops/stack/index.ts';
import { connectNats, type NatsDoor } from '../src/drivers/index.ts';
import { type Definition, systemAssets, workflowAssets } from '../src/engine/index.ts';
import { ensureAssets, openDefinitions, sealDefinition } from '../src/manifests/index.ts';
import { preciseMs } from './prefect-stages.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FLOWS = join(ROOT, 'bench', 'prefect-flows');
export const WORKFLOW = 'bench-prefect';
export const SOURCE_STREAM = 'BENCH_IN';
const SOURCE_SUBJECT = 'bench.in';
const POOL = 'bench-stock';
const RETRY = { initialMs: 100, factor: 2, maxMs: 1_000, jitter: 0, maxAttempts: 1, maxLost: 1 } as const;
const DEADLINE_MS = 120_000;

export interface StateAt {
  readonly type: string;
  /** ms since the epoch, of Prefect's own clock. */
  readonly at: number;
}

export interface PrefectWorld {
  readonly door: NatsDoor;
  /** Publishes one message that starts a run; gives its sequence on {@link SOURCE_STREAM}. */
  trigger(): Promise<number>;
  /** A flow run of the stock deployment, made as `run_deployment` makes it; gives its id. */
  createStockRun(): Promise<string>;
  /** The states that Prefect holds of a flow run, in order, once it has ended. */
  statesOf(flowRunId: string): Promise<readonly StateAt[]>;
  /** Prefect's own worker; ready when Prefect lists it. @param querySeconds undefined: its default, 10 */
  startWorker(querySeconds: number | undefined): Promise<ServerHandle>;
  stop(): Promise<void>;
}

/** One Prefect step behind a trigger. */
function definition(): Definition {
  return sealDefinition({
    name: WORKFLOW,
    deadLetter: false,
    triggers: [{ name: 'in', stream: SOURCE_STREAM, subject: SOURCE_SUBJECT }],
    steps: [
      {
        name: 'compute',
        needs: [],
        action: { kind: 'prefect', deployment: 'hello/main', pool: 'default' },
        retry: RETRY,
      },
    ],
  });
}

/**
 * Starts it all; what was started is stopped again when a later part cannot be had.
 * @param dir an empty folder
 * @param onAbort told at once how to stop what has been started so far
 */
export async function openPrefectWorld(
  dir: string,
  onAbort: (stop: () => Promise<void>) => void,
): Promise<PrefectWorld> {
  const closers: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  onAbort(stop);
  const open = async <T>(started: Promise<T>, close: (value: T) => Promise<unknown>): Promise<T> => {
    const value = await started;
    closers.push(() => close(value));
    return value;
  };
  const running = (started: Promise<ServerHandle>): Promise<ServerHandle> => open(started, (server) => server.stop());
  try {
    const nats = await running(startNats({ dir: join(dir, 'nats') }));
    const redis = await running(startRedis({ dir: join(dir, 'redis') }));
    const prefect = await running(startPrefect({ dir: join(dir, 'prefect') }));
    const env = { ...nats.env, ...redis.env, ...prefect.env };
    const door = await open(connectNats({ url: nats.url, name: 'bench' }), (opened) => opened.close());
    await prepare(door);
    await running(
      startOurs('controller', dir, env, process.execPath, ['--import', 'tsx', 'src/cli/main.ts', 'controller']),
    );
    const python = await prefectPython();
    await running(startOurs('flow-host', dir, { ...env, ...hostEnv(dir) }, python, ['-m', 'host', '--flows', FLOWS]));
    return new World(door, prefect, { dir, python, stop });
  } catch (error) {
    await stop();
    throw error;
  }
}

async function prepare(door: NatsDoor): Promise<void> {
  await door.jsm.streams.add({ name: SOURCE_STREAM, subjects: [SOURCE_SUBJECT] });
  const wanted = definition();
  for (const assets of [systemAssets(), workflowAssets(wanted)]) await ensureAssets(door.nc, assets);
  await (await openDefinitions(door.nc)).put(wanted);
}

const hostEnv = (dir: string): Record<string, string> => ({
  PYTHONPATH: join(ROOT, 'ops', 'prefect'),
  PYTHONDONTWRITEBYTECODE: '1',
  MILLRACE_HOST_HOME: join(dir, 'flow-host-home'),
});

async function startOurs(
  name: string,
  dir: string,
  env: Readonly<Record<string, string>>,
  command: string,
  args: readonly string[],
): Promise<ServerHandle> {
  const port = await freePort();
  return startProcess({
    ...{ name, command, args, cwd: ROOT, dir: join(dir, name) },
    env: { ...env, MILLRACE_HTTP_PORT: String(port) },
    readyUrl: `http://127.0.0.1:${port}/readyz`,
    readyTimeoutMs: DEADLINE_MS,
  });
}

interface WorldParts {
  readonly dir: string;
  readonly python: string;
  readonly stop: () => Promise<void>;
}

class World implements PrefectWorld {
  readonly door: NatsDoor;
  readonly #prefect: ServerHandle;
  readonly #parts: WorldParts;
  #deployment: string | undefined;
  #workers = 0;

  constructor(door: NatsDoor, prefect: ServerHandle, parts: WorldParts) {
    this.door = door;
    this.#prefect = prefect;
    this.#parts = parts;
  }

  async trigger(): Promise<number> {
    return (await this.door.js.publish(SOURCE_SUBJECT, JSON.stringify({ n: 1 }))).seq;
  }

  async createStockRun(): Promise<string> {
    this.#deployment ??= await this.#deploy();
    const made = await this.#api('POST', `/deployments/${this.#deployment}/create_flow_run`, {
      state: { type: 'SCHEDULED' },
      parameters: { input: { n: 1 } },
    });
    return idOf(made);
  }

  async statesOf(flowRunId: string): Promise<readonly StateAt[]> {
    for (const deadline = Date.now() + DEADLINE_MS; ; ) {
      const states = statesFrom(await this.#api('GET', `/flow_run_states/?flow_run_id=${flowRunId}`));
      const last = states.at(-1)?.type;
      if (last === 'COMPLETED') return states;
      if (last === 'FAILED' || last === 'CRASHED') throw new Error(`flow run ${flowRunId} ended ${last}`);
      if (Date.now() > deadline) throw new Error(`flow run ${flowRunId} is ${last} after ${DEADLINE_MS} ms`);
      await pause(250);
    }
  }

  async startWorker(querySeconds: number | undefined): Promise<ServerHandle> {
    const name = `stock-${++this.#workers}`;
    const worker = await startProcess({
      name,
      command: this.#parts.python,
      args: ['-m', 'prefect', 'worker', 'start', '--pool', POOL, '--type', 'process', '--name', name],
      dir: join(this.#parts.dir, name),
      env: {
        ...this.#prefect.env,
        ...(querySeconds === undefined ? {} : { PREFECT_WORKER_QUERY_SECONDS: String(querySeconds) }),
      },
    });
    try {
      await this.#listed(name);
      return worker;
    } catch (error) {
      await worker.stop();
      throw error;
    }
  }

  stop(): Promise<void> {
    return this.#parts.stop();
  }

  /** The worker makes its pool itself and sends heartbeats. */
  async #listed(name: string): Promise<void> {
    const path = `/work_pools/${POOL}/workers/filter`;
    for (const deadline = Date.now() + DEADLINE_MS; ; await pause(200)) {
      const found = await this.#ask('POST', path, {});
      if (found.ok && (await found.text()).includes(`"${name}"`)) return;
      if (Date.now() > deadline) throw new Error(`worker ${name} did not show up in Prefect`);
    }
  }

  /** The same flow in the worker's pool. */
  async #deploy(): Promise<string> {
    const flow = await this.#api('POST', '/flows/', { name: 'hello' });
    const made = await this.#api('POST', '/deployments/', {
      ...{ name: 'stock', flow_id: idOf(flow), work_pool_name: POOL },
      ...{ entrypoint: 'hello.py:hello', path: FLOWS, enforce_parameter_schema: false },
    });
    return idOf(made);
  }

  async #api(method: string, path: string, body?: object): Promise<unknown> {
    // A database that is busy is a 503 of Prefect's; its own client tries again, too.
    for (let tries = 1; ; tries++) {
      const response = await this.#ask(method, path, body);
      if (response.ok) return response.json();
      if (response.status !== 503 || tries === 20) {
        throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
      }
      await pause(200);
    }
  }

  #ask(method: string, path: string, body?: object): Promise<Response> {
    const init = { method, headers: { 'content-type': 'application/json' } };
    return fetch(`${this.#prefect.url}${path}`, body === undefined ? init : { ...init, body: JSON.stringify(body) });
  }
}

function idOf(body: unknown): string {
  if (typeof body === 'object' && body !== null && 'id' in body && typeof body.id === 'string') return body.id;
  throw new Error(`an answer of Prefect's without an id: ${JSON.stringify(body).slice(0, 200)}`);
}

function statesFrom(body: unknown): StateAt[] {
  const states = Array.isArray(body) ? (body as { type: string; timestamp: string }[]) : [];
  return states.map(({ type, timestamp }) => ({ type, at: preciseMs(timestamp) })).sort((a, b) => a.at - b.at);
}
