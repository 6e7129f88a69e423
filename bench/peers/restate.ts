/**
 * Restate: its server beside us, its SDK's endpoint in this process, runs started over its HTTP ingress on connections that stay
 * open. A function of n steps is a handler that awaits n times `ctx.run`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http2';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import * as restate from '@restatedev/restate-sdk';
import { freePort, type ServerHandle, startProcess } from '../../ops/stack/index.ts';
import { peerVersion } from '../peers-install.ts';
import type { StartSystem, SystemOptions } from '../systems/system.ts';
import { openIngress } from './restate-ingress.ts';

const require = createRequire(import.meta.url);

/** The binary itself: npm's wrapper around it is a Node process that would count as part of the server. */
function serverBinary(): string {
  const wrapper = createRequire(require.resolve('@restatedev/restate-server/package.json'));
  return wrapper.resolve(`@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`);
}

interface Ports {
  readonly ingress: number;
  readonly admin: number;
  readonly node: number;
}

/** One per processor here. Its default of 24 costs its server three times the processor time per run. */
const PARTITIONS = 2;

function configuration({ sync, dir }: SystemOptions, ports: Ports): string {
  const lazy = sync === 'lazy';
  return `
base-dir = ${JSON.stringify(join(dir, 'restate'))}
node-name = "bench"
listen-mode = "tcp"
bind-ip = "127.0.0.1"
bind-port = ${ports.node}
default-num-partitions = ${PARTITIONS}
disable-telemetry = true
log-filter = "warn"
log-disable-ansi-codes = true

[log-server]
rocksdb-disable-wal-fsync = ${lazy}

[ingress]
bind-port = ${ports.ingress}
[admin]
bind-port = ${ports.admin}
disable-web-ui = true
`;
}

const DURABILITY = {
  lazy: 'its replicated log on one node, written to the file of its log server without fsync (rocksdb-disable-wal-fsync = true)',
  always:
    'its replicated log on one node, fsynced by its log server when it counts (its default), those of one moment together',
} as const;

interface Work {
  readonly steps: number;
  readonly payload: string;
}

/** Ids of awakeables by the key that their function was started with: they are made inside the function. */
const awakeables = new Map<string, (id: string) => void>();

const service = restate.service({
  name: 'bench',
  handlers: {
    run: async (ctx: restate.Context, { steps, payload }: Work): Promise<number> => {
      let done = 0;
      for (let i = 0; i < steps; i++) {
        const gave = await ctx.run('step', () => payload);
        if (gave.length === payload.length) done++;
      }
      return done;
    },
    fanOut: async (ctx: restate.Context, width: number): Promise<number> => {
      const all = await restate.RestatePromise.all(Array.from({ length: width }, (_, i) => ctx.run('part', () => i)));
      return all.length;
    },
    sleep: async (ctx: restate.Context, ms: number): Promise<void> => {
      await ctx.sleep(ms);
    },
    wait: async (ctx: restate.Context, key: string): Promise<string> => {
      const { id, promise } = ctx.awakeable<string>();
      awakeables.get(key)?.(id);
      return promise;
    },
  },
  // What has ended is not kept: the least work.
  options: { journalRetention: 0 },
});

/** Its own logger writes a line at the start and the end of every function. */
const troubleOnly: restate.LoggerTransport = ({ level }, ...said) => {
  // The enumeration is exported as a type alone.
  const name: string = level;
  if (name === 'warn' || name === 'error') console.error(...said);
};

async function register(ports: Ports, endpoint: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${ports.admin}/deployments`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ uri: `http://127.0.0.1:${endpoint}` }),
  });
  if (!response.ok) throw new Error(`Restate does not take the deployment: ${await response.text()}`);
}

async function startServer(options: SystemOptions, ports: Ports): Promise<ServerHandle> {
  const dir = join(options.dir, 'server');
  mkdirSync(dir, { recursive: true });
  const config = join(dir, 'restate.toml');
  writeFileSync(config, configuration(options, ports));
  return startProcess({
    name: 'restate-server',
    command: serverBinary(),
    args: ['--config-file', config, '--no-logo'],
    dir,
    readyUrl: `http://127.0.0.1:${ports.admin}/health`,
    readyTimeoutMs: 60_000,
  });
}

export const start: StartSystem = async (options) => {
  const ports = { ingress: await freePort(), admin: await freePort(), node: await freePort() };
  const http2 = createServer(restate.endpoint().bind(service).setLogger(troubleOnly).http2Handler());
  const endpoint = await freePort();
  await new Promise<void>((resolve) => http2.listen(endpoint, '127.0.0.1', resolve));
  const server = await startServer(options, ports);
  await register(ports, endpoint);
  const ingress = openIngress(ports.ingress);
  // The ingress learns of the service a moment after the admin has it.
  await ingress.ready('/bench/sleep', 1);
  let keys = 0;
  return {
    name: 'restate',
    version: `server ${peerVersion('@restatedev/restate-server')}, SDK ${peerVersion('@restatedev/restate-sdk')}, ${PARTITIONS} partitions, ended runs not kept`,
    durability: DURABILITY[options.sync],
    serverPids: [server.pid],
    run: async (steps, payload) => Number(await ingress.call('/bench/run', { steps, payload })),
    fanOut: async (width) => Number(await ingress.call('/bench/fanOut', width)),
    sleep: async (ms) => {
      await ingress.call('/bench/sleep', ms);
    },
    waiting: async () => {
      const key = `key-${keys++}`;
      const made = new Promise<string>((resolve) => awakeables.set(key, resolve));
      const ended = ingress.call('/bench/wait', key);
      const id = await Promise.race([made, ended.then(() => Promise.reject(new Error('it ended without a signal')))]);
      return {
        send: async () => {
          await ingress.call(`/restate/awakeables/${id}/resolve`, 'signal');
          await ended;
          awakeables.delete(key);
        },
      };
    },
    stop: async () => {
      ingress.close();
      await server.stop();
      http2.close();
    },
  };
};
