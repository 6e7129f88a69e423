/**
 * A system as an operator runs it, on one machine: a nats-server, controllers and workers as processes of their own. The benchmark's
 * own process only starts runs and watches.
 */
import { join } from 'node:path';
import { freePort, type ServerHandle, startNats, startProcess } from '../../ops/stack/index.ts';
import { connectNats, type NatsDoor } from '../../src/drivers/index.ts';
import { type Definition, systemAssets } from '../../src/engine/index.ts';
import { ensureAssets, openDefinitions } from '../../src/manifests/index.ts';
import type { Sync } from '../systems/system.ts';
import { type Build, build, ROOT } from './build.ts';
import type { Shape } from './shape.ts';

export interface RigOptions {
  /** An empty folder of its own. */
  readonly dir: string;
  readonly sync: Sync;
  readonly shape: Shape;
  /** An OTLP receiver; without it no spans are sent. */
  readonly otlpUrl?: string;
  /** Switches of node for the processes; their own defaults unless given. */
  readonly nodeArgs?: readonly string[];
  /** A build to share; else one is made and removed with the rig. */
  readonly build?: Build;
}

export interface Rig {
  readonly nats: ServerHandle;
  readonly door: NatsDoor;
  /** Of the server's monitoring. */
  readonly monitor: string;
  apply(definition: Definition): Promise<void>;
  /** Starts a process that decides on runs; ready when it says so. */
  startDriver(name: string): Promise<ServerHandle>;
  /** Starts a process that does the steps; undefined when drivers do them. */
  startWorker(name: string): Promise<ServerHandle | undefined>;
  close(): Promise<void>;
}

/** Starts the server; processes are started by the caller. Nothing is left behind when it fails. */
export async function openRig(options: RigOptions): Promise<Rig> {
  const { dir, sync, shape, otlpUrl, nodeArgs = [] } = options;
  const started: ServerHandle[] = [];
  const built = options.build ?? (await build());
  let door: NatsDoor | undefined;
  const close = async (): Promise<void> => {
    await door?.close().catch(() => undefined);
    for (const handle of started.splice(0).reverse()) await handle.stop('SIGKILL').catch(() => undefined);
    if (options.build === undefined) await built.remove();
  };
  try {
    // The last of two settings in a server's configuration counts; two minutes is the server's own default.
    const extra = sync === 'always' ? {} : { extraConf: 'jetstream { sync_interval: "2m" }' };
    const nats = await startNats({ dir: join(dir, 'nats'), ...extra });
    started.push(nats);
    door = await connectNats({ url: nats.url, name: 'bench-scale', timeoutMs: 60_000 });
    const opened = door;
    const worker = ['--import', 'tsx', join(ROOT, shape.worker)];
    const role = async (name: string, args: readonly string[]): Promise<ServerHandle> => {
      const port = await freePort();
      const handle = await startProcess({
        name,
        command: process.execPath,
        args: [...nodeArgs, ...args],
        cwd: ROOT,
        dir: join(dir, 'processes'),
        env: {
          MILLRACE_NATS_URL: nats.url,
          MILLRACE_HTTP_PORT: String(port),
          MILLRACE_LOG_LEVEL: 'warn',
          ...(otlpUrl === undefined ? {} : { MILLRACE_OTLP_URL: otlpUrl }),
        },
        readyUrl: `http://127.0.0.1:${port}/readyz`,
        readyTimeoutMs: 90_000,
      });
      started.push(handle);
      return handle;
    };
    return {
      nats,
      door: opened,
      monitor: nats.env['MILLRACE_NATS_MONITOR_URL'] ?? '',
      async apply(definition) {
        for (const assets of [systemAssets(), shape.assets(definition)]) await ensureAssets(opened.nc, assets);
        await (await openDefinitions(opened.nc)).put(definition);
      },
      startDriver: (name) => role(name, shape.driver === 'controller' ? [built.bin, 'controller'] : worker),
      startWorker: async (name) => (shape.driver === 'worker' ? undefined : role(name, worker)),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
