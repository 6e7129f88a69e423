/** The controller as a process: health, readiness, metrics, the orderly end, and what it says when it cannot start. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { freePort } from '../../ops/stack/index.ts';
import { define, type NatsKit, waitFor, withNats, workerStep } from '../kit/index.ts';
import { runCli } from '../kit/system.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const flow = define('flow', [{ ...workerStep('wait'), action: { kind: 'signal', name: 'go', onTimeout: 'fail' } }]);

interface Running {
  readonly url: string;
  readonly lines: string[];
  /** Sends the signal and gives the exit code. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

const running: { end: Running['end'] }[] = [];

/** A controller that has said where its health is. */
async function controller(env: Readonly<Record<string, string>>, ...args: string[]): Promise<Running> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', 'controller', ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines: string[] = [];
  const exit = once(child, 'exit') as Promise<[number | null]>;
  const end: Running['end'] = async (signal) => {
    child.kill(signal);
    return (await exit)[0];
  };
  running.push({ end });
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
  const url = await waitFor(
    'the controller to be ready',
    () => {
      if (child.exitCode !== null) throw new Error(`it exited ${child.exitCode}: ${lines.join('\n')}`);
      return lines.map((line) => /health at (http:\S+?)"/.exec(line)?.[1]).find((found) => found !== undefined);
    },
    30_000,
  );
  return { url, lines, end };
}

const readySchema = z.object({
  status: z.string(),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
});

async function ready(url: string): Promise<z.infer<typeof readySchema> & { code: number }> {
  const response = await fetch(`${url}/readyz`);
  return { code: response.status, ...readySchema.parse(await response.json()) };
}

let nats: NatsKit;
beforeAll(async () => {
  nats = await withNats();
  await nats.prepare([flow]);
});
afterEach(async () => {
  for (const { end } of running.splice(0)) await end('SIGKILL');
});
afterAll(() => nats?.stop());

describe('a controller', () => {
  test('is alive and ready, counts, drives a run, and ends in order on SIGTERM', async () => {
    const port = await freePort();
    const process = await controller({ MILLRACE_NATS_URL: nats.url, MILLRACE_HTTP_PORT: String(port) });
    expect(process.url).toBe(`http://127.0.0.1:${port}`);
    expect(await (await fetch(`${process.url}/healthz`)).json()).toEqual({ status: 'alive' });
    const { code, status, checks } = await waitFor('readiness', async () => {
      const now = await ready(process.url);
      return now.code === 200 && now;
    });
    expect({ code, status }).toEqual({ code: 200, status: 'ready' });
    expect(checks.map(({ name }) => name)).toContain('nats');
    const started = await runCli(['runs', 'start', 'flow', '--json'], { MILLRACE_NATS_URL: nats.url });
    const { runId } = z.object({ runId: z.string() }).parse(JSON.parse(started.stdout));
    await runCli(['runs', 'signal', runId, 'go'], { MILLRACE_NATS_URL: nats.url });
    const door = await nats.door();
    const consumer = await door.js.consumers.get('MR_EVENTS', { filter_subjects: `evt.run.flow.${runId}.completed` });
    expect(await consumer.next({ expires: 30_000 })).not.toBeNull();
    const metrics = await (await fetch(`${process.url}/metrics`)).text();
    expect(metrics).toMatch(
      /millrace_engine_inputs_total\{workflow="flow",outcome="applied",service="millrace-controller"\} 2/,
    );
    expect(metrics).toContain('millrace_info{version="');
    expect(await process.end('SIGTERM')).toBe(0);
    expect(process.lines.join('\n')).toContain('closed NATS');
  });

  test('says plainly that without Redis there may be one controller only; a Prefect that is away degrades it', async () => {
    const env = { MILLRACE_NATS_URL: nats.url, MILLRACE_PREFECT_URL: 'http://127.0.0.1:1/api' };
    const process = await controller(env, '--http-port', '0');
    expect(process.lines[0]).toBe(
      'MILLRACE_REDIS_URL is not set: the reconcile queue lives in memory. Run one controller only.',
    );
    const { code, checks } = await waitFor('readiness', async () => {
      const now = await ready(process.url);
      return now.code === 200 && now;
    });
    expect(code).toBe(200);
    expect(checks.find(({ name }) => name === 'prefect')).toMatchObject({
      ok: true,
      detail: expect.stringMatching(/^degraded: /),
    });
    expect(await process.end('SIGINT')).toBe(0);
  });

  test('is not ready while NATS is away, and ready again when it is back; it is alive all the time', async () => {
    const own = await withNats();
    await own.prepare([flow]);
    const process = await controller({ MILLRACE_NATS_URL: own.url });
    const becomes = (code: number) =>
      waitFor(`readyz ${code}`, async () => (await ready(process.url)).code === code, 30_000);
    await becomes(200);
    await own.server.kill();
    await becomes(503);
    expect((await fetch(`${process.url}/healthz`)).status).toBe(200);
    await own.server.restart();
    await becomes(200);
    expect(await process.end('SIGTERM')).toBe(0);
    await own.stop();
  });
});

describe('a controller that cannot start', () => {
  const refused = async (env: Readonly<Record<string, string>>, ...args: string[]) => {
    const { code, stderr } = await runCli(['controller', ...args], { MILLRACE_LOG_LEVEL: 'silent', ...env });
    return { code, stderr };
  };

  test('no NATS: exit 3 and what to do', async () => {
    const { code, stderr } = await refused({ MILLRACE_NATS_URL: 'nats://127.0.0.1:1' });
    expect(code).toBe(3);
    expect(stderr).toContain('(MR_NATS_UNREACHABLE)');
    expect(stderr).toContain('hint start nats-server');
  });

  test('a port in use: exit 1, named, before anything is opened', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const { code, stderr } = await refused({ MILLRACE_NATS_URL: nats.url }, '--http-port', String(port));
    server.close();
    expect(code).toBe(1);
    expect(stderr).toContain(`port ${port} on 127.0.0.1 is in use (MR_PORT_IN_USE)`);
  });

  test('a wrong setting: exit 2, named', async () => {
    const { code, stderr } = await refused({ MILLRACE_HTTP_PORT: 'high' });
    expect(code).toBe(2);
    expect(stderr).toContain('MILLRACE_HTTP_PORT: expected a port number');
  });
});
