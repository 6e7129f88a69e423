/** A flow host as a process, a Prefect to make flow runs in, and eyes on the streams it reports to. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, prefectPython, type ServerHandle, startProcess } from '../../ops/stack/index.ts';
import type { NatsDoor } from '../../src/drivers/index.ts';
import {
  type DispatchMessage,
  type InputBody,
  inputBodySchema,
  systemAssets,
  workflowAssets,
} from '../../src/engine/index.ts';
import { dispatchSubject, hostConsumer, inputSubject, STREAMS, workflowStream } from '../../src/kernel/index.ts';
import { ensureAssets } from '../../src/manifests/index.ts';
import { workflow } from './bridge-kit.ts';

const PREFECT_DIR = fileURLToPath(new URL('../../ops/prefect', import.meta.url));
export const WORKFLOW = 'hosted';
const TRACEPARENT = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

export type FlowInput = Extract<InputBody, { kind: 'flow' }>;
export interface Seen {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** Looks again until it is as wanted; only where nothing tells us. */
export async function poll<T>(
  look: () => T | Promise<T>,
  wanted: (value: T) => boolean,
  what: string,
  ms = 60_000,
): Promise<T> {
  for (const deadline = Date.now() + ms; ; ) {
    const value = await look();
    if (wanted(value)) return value;
    if (Date.now() > deadline) throw new Error(`${what}: still ${JSON.stringify(value)} after ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A stream's messages on some subjects, from its beginning. */
export async function readAll(door: NatsDoor, stream: string, subject: string): Promise<Seen[]> {
  const info = await door.jsm.streams.info(stream, { subjects_filter: subject });
  const wanted = Object.values(info.state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
  if (wanted === 0) return [];
  const consumer = await door.js.consumers.get(stream, { filter_subjects: [subject] });
  const seen: Seen[] = [];
  for await (const message of await consumer.fetch({ max_messages: wanted, expires: 5_000 })) {
    const keys = message.headers?.keys() ?? [];
    const headers = Object.fromEntries(keys.map((key) => [key, message.headers?.get(key) ?? '']));
    seen.push({ subject: message.subject, data: message.data, headers });
    if (seen.length === wanted) break;
  }
  return seen;
}

export class HostWorld {
  readonly #door: NatsDoor;
  readonly #prefect: ServerHandle;
  readonly #dir: string;
  #runs = 0;

  constructor(door: NatsDoor, prefect: ServerHandle, dir: string) {
    this.#door = door;
    this.#prefect = prefect;
    this.#dir = dir;
  }

  async prepare(): Promise<void> {
    await ensureAssets(this.#door.nc, systemAssets());
    await ensureAssets(this.#door.nc, workflowAssets(workflow(WORKFLOW, 'none/main')));
  }

  /** A flow host with a home that hosts of the same `home` share; ready to take flow runs. */
  async host(name: string, env: Readonly<Record<string, string>>, home = 'home'): Promise<ServerHandle> {
    const port = await freePort();
    return startProcess({
      name,
      command: await prefectPython(),
      args: ['-m', 'host', '--flows', join(PREFECT_DIR, 'flows'), '--flows', join(PREFECT_DIR, 'tests', 'flows')],
      cwd: PREFECT_DIR,
      dir: join(this.#dir, name),
      env: {
        ...this.#prefect.env,
        ...env,
        MILLRACE_HOST_HOME: join(this.#dir, home),
        MILLRACE_HTTP_PORT: String(port),
        PYTHONDONTWRITEBYTECODE: '1',
      },
      readyUrl: `http://127.0.0.1:${port}/readyz`,
      readyTimeoutMs: 90_000,
      stopTimeoutMs: 30_000,
    });
  }

  file(name: string): string {
    return join(this.#dir, name);
  }

  /** Whole lines of a file a flow writes: it is there, and empty, before its first line is. */
  lines(name: string): string[] {
    return existsSync(this.file(name)) ? readFileSync(this.file(name), 'utf8').split('\n').slice(0, -1) : [];
  }

  async api<T>(method: string, path: string, body?: object): Promise<T> {
    const url = `${this.#prefect.env['MILLRACE_PREFECT_URL']}${path}`;
    const init = { method, headers: { 'content-type': 'application/json' } };
    // SQLite that is busy is a 503 of Prefect's, a connection it closes as we use it a failed fetch; its own client tries
    // again, too.
    const ask = () => fetch(url, body === undefined ? init : { ...init, body: JSON.stringify(body) });
    const response = await poll(
      () => ask().catch(() => Response.json({}, { status: 503 })),
      ({ status }) => status !== 503,
      `${method} ${path}`,
    );
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** Makes a flow run as the bridge does, and says what would be dispatched for it. */
  async flowRun(flow: string, parameters: object): Promise<DispatchMessage> {
    const runId = `run${++this.#runs}`;
    const { id } = await this.api<{ id: string }>('GET', `/deployments/name/${flow}/main`);
    const made = await this.api<{ id: string }>('POST', `/deployments/${id}/create_flow_run`, {
      name: `${runId}-compute-1`,
      parameters,
      state: { type: 'SCHEDULED' },
      labels: { __OTEL_TRACEPARENT: TRACEPARENT },
    });
    return {
      ...{ v: 1, action: 'run', workflow: WORKFLOW, runId, step: 'compute', attempt: 1 },
      ...{ flowRunId: made.id, deployment: `${flow}/main`, parameters: {}, traceparent: TRACEPARENT },
    };
  }

  async dispatch(message: DispatchMessage, n = 1): Promise<DispatchMessage> {
    const msgID = `dispatch:${message.flowRunId}:${message.action}:${n}`;
    await this.#door.js.publish(dispatchSubject('default'), JSON.stringify(message), { msgID });
    return message;
  }

  async run(flow: string, parameters: object): Promise<DispatchMessage> {
    return this.dispatch(await this.flowRun(flow, parameters));
  }

  async inputs({ runId }: DispatchMessage): Promise<FlowInput[]> {
    const seen = await readAll(this.#door, workflowStream(WORKFLOW), inputSubject(WORKFLOW, runId));
    return seen.map(({ data }) => {
      const body = inputBodySchema.parse(JSON.parse(new TextDecoder().decode(data)));
      if (body.kind !== 'flow') throw new Error(`a ${body.kind} input`);
      return body;
    });
  }

  /** The inputs, once one of this state type is among them. */
  async until(message: DispatchMessage, type: string, ms = 60_000): Promise<FlowInput[]> {
    const has = (inputs: FlowInput[]): boolean => inputs.some(({ state }) => state.type === type);
    return poll(() => this.inputs(message), has, `inputs of ${message.deployment}`, ms);
  }

  /** Resolves when no dispatch is out: all are answered for good. */
  async settled(ms = 60_000): Promise<void> {
    const look = async (): Promise<number> => (await this.#door.jsm.streams.info(STREAMS.flows)).state.messages;
    await poll(look, (messages) => messages === 0, 'dispatches', ms);
    const info = await this.#door.jsm.consumers.info(STREAMS.flows, hostConsumer('default'));
    if (info.num_ack_pending !== 0) throw new Error(`${info.num_ack_pending} dispatches are not acknowledged`);
  }

  async events(kind: 'flow' | 'task', { runId }: DispatchMessage): Promise<Seen[]> {
    const subject = `evt.${kind}.${WORKFLOW}.${runId}.>`;
    return readAll(this.#door, STREAMS.events, subject);
  }

  async inPrefect({ flowRunId }: DispatchMessage): Promise<{ type: string; name: string; message: string | null }> {
    const { state } = await this.api<{ state: { type: string; name: string; message: string | null } }>(
      'GET',
      `/flow_runs/${flowRunId}`,
    );
    return { type: state.type, name: state.name, message: state.message };
  }
}

export const states = (inputs: readonly FlowInput[]): string[] => inputs.map(({ state }) => state.type);

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
