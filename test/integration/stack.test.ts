import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../ops/lib/exec.ts';
import { identityOf } from '../../ops/lib/identity.ts';
import {
  down,
  freePort,
  prefectPython,
  type ServerHandle,
  type Stack,
  startJaeger,
  startNats,
  startPrefect,
  startRedis,
  status,
  up,
} from '../../ops/stack/index.ts';

/** A port of a handle by its name. */
function portOf(handle: ServerHandle, key: string): number {
  const port = handle.ports[key];
  if (port === undefined) throw new Error(`${handle.name} has no port ${key}`);
  return port;
}

function need(handle: ServerHandle | undefined): ServerHandle {
  if (handle === undefined) throw new Error('This test needs all four servers; see docs/provisioning.md');
  return handle;
}

async function getJson(url: string, body?: unknown): Promise<unknown> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  return (await fetch(url, body === undefined ? {} : init)).json();
}

let dir: string;
const started: ServerHandle[] = [];
const keep = async (handle: Promise<ServerHandle>): Promise<ServerHandle> => {
  started.push(await handle);
  return handle;
};

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-stack-'));
});

afterAll(async () => {
  await Promise.all(started.map((handle) => handle.stop()));
  rmSync(dir, { recursive: true, force: true });
});

describe('nats-server', () => {
  it('keeps what it acknowledged through kill -9 and comes back on its port', async () => {
    const nats = await keep(startNats({ dir: join(dir, 'nats'), token: 's3cr"et' }));
    const client = { servers: nats.url, token: 's3cr"et' };
    const first = await connect(client);
    await (await jetstreamManager(first)).streams.add({ name: 'KEPT', subjects: ['kept.>'] });
    const ack = await jetstream(first).publish('kept.one', 'hello');
    expect(ack.seq).toBe(1);
    await first.close();
    const before = nats.pid;
    await nats.kill();
    await nats.restart();
    expect(nats.pid).not.toBe(before);
    const second = await connect(client);
    const message = await (await jetstreamManager(second)).streams.getMessage('KEPT', { seq: 1 });
    expect(message?.string()).toBe('hello');
    await second.close();
    await expect(connect({ servers: nats.url, reconnect: false })).rejects.toThrow(/authorization/i);
  });

  it('syncs at every write', async () => {
    const nats = await keep(startNats({ dir: join(dir, 'nats-sync') }));
    const jsz = (await getJson(`http://127.0.0.1:${portOf(nats, 'http')}/jsz`)) as { config: Record<string, unknown> };
    expect(jsz.config).toMatchObject({ sync_always: true });
  });

  it('says what is wrong with its configuration', async () => {
    const failed = startNats({ dir: join(dir, 'nats-bad'), extraConf: 'max_payload: {' });
    await expect(failed).rejects.toMatchObject({
      code: 'MR_SERVER_START',
      message: expect.stringContaining('Parse error on line 6'),
    });
  });

  it('names the port that is taken', async () => {
    const port = await freePort();
    await keep(startNats({ dir: join(dir, 'nats-first'), port }));
    const second = startNats({ dir: join(dir, 'nats-second'), port });
    await expect(second).rejects.toMatchObject({
      code: 'MR_PORT_IN_USE',
      message: expect.stringMatching(new RegExp(`port ${port}.*MILLRACE_NATS_PORT`)),
    });
  });
});

describe('redis and jaeger', () => {
  it('serve, die and come back', async () => {
    for (const handle of [
      await keep(startRedis({ dir: join(dir, 'redis') })),
      await keep(startJaeger({ dir: join(dir, 'jaeger') })),
      // Two at once: no listener is left on a default port.
      await keep(startJaeger({ dir: join(dir, 'jaeger-2') })),
    ]) {
      await handle.kill();
      expect(handle.alive()).toBe(false);
      await handle.restart();
      expect(handle.alive()).toBe(true);
    }
  });
});

const FLOW = `
from prefect import flow, task

@task
def double(n: int) -> int:
    return 2 * n

@flow(name="stack-test")
def main() -> int:
    return double(21)

print(main())
`;

interface JaegerTraces {
  readonly data: readonly { readonly spans: readonly { readonly operationName: string }[] }[];
}

describe('prefect', () => {
  it('records the flow and task runs of its venv, traced into jaeger, and keeps them through kill -9', async () => {
    const jaeger = await keep(startJaeger({ dir: join(dir, 'jaeger-flow') }));
    const prefect = await keep(
      startPrefect({ dir: join(dir, 'prefect'), otlpEndpoint: jaeger.env['MILLRACE_OTLP_URL'] ?? '' }),
    );
    const file = join(dir, 'flow.py');
    writeFileSync(file, FLOW);
    const python = await prefectPython();
    const instrument = join(python, '..', 'opentelemetry-instrument');
    const env = { ...prefect.env, OTEL_SERVICE_NAME: 'stack-test' };
    const result = await run(python, [instrument, python, file], { env, timeoutMs: 90_000 });
    expect(result.stdout.trim(), result.stderr).toBe('42');
    const taskRuns = (): Promise<unknown> => getJson(`${prefect.url}/task_runs/filter`, {});
    const completed = [expect.objectContaining({ state_type: 'COMPLETED' })];
    // The task run recorder works off events: it comes a moment after the flow's end.
    await expect.poll(taskRuns, { timeout: 20_000 }).toMatchObject(completed);
    const traces = async (): Promise<string[]> => {
      const found = (await getJson(`${jaeger.url}/api/traces?service=stack-test`)) as JaegerTraces;
      return found.data.flatMap((trace) => trace.spans.map((span) => span.operationName)).sort();
    };
    const spans = await expect.poll(traces, { timeout: 20_000 }).not.toEqual([]).then(traces);
    expect(spans.some((name) => name.includes('double'))).toBe(true);
    await prefect.kill();
    await prefect.restart();
    expect(await taskRuns()).toMatchObject(completed);
  });
});

describe('a stack', () => {
  it('comes up, is reused, is restarted under its record, and goes down', async () => {
    const folder = join(dir, 'stack');
    const first: Stack = await up({ dir: folder });
    const pids = [first.nats, first.redis, first.prefect, first.jaeger].map((handle) => need(handle).pid);
    expect(first.reused).toEqual([]);
    const second = await up({ dir: folder });
    expect([...second.reused].sort()).toEqual(['jaeger', 'nats', 'prefect', 'redis']);
    expect([second.nats, second.redis, second.prefect, second.jaeger].map((handle) => need(handle).pid)).toEqual(pids);
    expect(second.env).toEqual(first.env);
    const shell = await run('sh', [
      '-c',
      `. '${join(folder, 'env')}' && echo $MILLRACE_NATS_URL $MILLRACE_PREFECT_URL`,
    ]);
    expect(shell.stdout.trim()).toBe(`${need(first.nats).url} ${need(first.prefect).url}`);

    // A handle from the second call restarts the server in place, and the record follows.
    await need(second.nats).kill();
    expect(status(folder).find((one) => one.part === 'nats')?.running).toBe(false);
    await need(second.nats).restart();
    expect(need(second.nats).url).toBe(need(first.nats).url);
    expect(status(folder).find((one) => one.part === 'nats')?.pid).toBe(need(second.nats).pid);

    expect(await down(folder)).toEqual(['prefect', 'jaeger', 'redis', 'nats']);
    for (const handle of [second.nats, second.redis, second.prefect, second.jaeger]) {
      expect(identityOf(need(handle).pid)).toBeUndefined();
    }
    expect(await down(folder)).toEqual([]);
    expect(existsSync(join(folder, 'nats', 'jetstream'))).toBe(true);
    expect(readFileSync(join(folder, 'stack.json'), 'utf8')).not.toContain('pid');
  });

  it('starts nothing when a port variable is not a port', async () => {
    const folder = join(dir, 'typo');
    process.env['MILLRACE_JAEGER_PORT'] = '16686x';
    try {
      await expect(up({ dir: folder })).rejects.toMatchObject({ code: 'MR_USAGE' });
    } finally {
      delete process.env['MILLRACE_JAEGER_PORT'];
    }
    expect(await down(folder)).toEqual([]);
  });

  it('that starts only half can still be taken down', async () => {
    const folder = join(dir, 'half');
    const port = await freePort();
    const holder = await keep(startRedis({ dir: join(dir, 'holder'), port }));
    process.env['MILLRACE_REDIS_PORT'] = String(port);
    try {
      await expect(up({ dir: folder, with: { prefect: false } })).rejects.toMatchObject({ code: 'MR_PORT_IN_USE' });
    } finally {
      delete process.env['MILLRACE_REDIS_PORT'];
    }
    expect((await down(folder)).sort()).toEqual(['jaeger', 'nats']);
    expect(holder.alive()).toBe(true);
  });
});
