/** Temporal's development server: one process, its data in a SQLite file. */
import { join } from 'node:path';
import { requirePart } from '../../ops/provision/index.ts';
import { freePort, isPortFree } from '../../ops/stack/index.ts';
import { type ServerHandle, startOnFreePorts } from '../../ops/stack/server.ts';
import type { Sync, SystemOptions } from '../systems/system.ts';

/**
 * Left alone the server opens its file with SQLite's own defaults, a rollback journal with two fsyncs or more for each transaction.
 * A write-ahead log is the faster way to the same durability; so it is what both settings use.
 */
const SYNCHRONOUS: Readonly<Record<Sync, string>> = { lazy: 'NORMAL', always: 'FULL' };

/** Fsyncs were counted with strace: 26 for a run of 3 ordinary activities under `always`, 6 with local ones, fewer than 1 under `lazy`. */
export const DURABILITY: Readonly<Record<Sync, string>> = {
  lazy: 'SQLite, journal_mode = WAL, synchronous = NORMAL: written before it counts, fsynced only when the log is checkpointed',
  always: 'SQLite, journal_mode = WAL, synchronous = FULL: the log is fsynced with every transaction',
};

/** Limits that a benchmark would run into, and what the server can do to be fast and does not by itself. */
const DYNAMIC_CONFIG: Readonly<Record<string, boolean | number>> = {
  'frontend.rps': 1_000_000,
  'frontend.namespaceRPS': 1_000_000,
  'frontend.namespaceCount': 100_000,
  'frontend.persistenceMaxQPS': 1_000_000,
  'history.persistenceMaxQPS': 1_000_000,
  'matching.persistenceMaxQPS': 1_000_000,
  'history.rps': 1_000_000,
  'matching.rps': 1_000_000,
  // The first activities of a workflow task come back in the answer to it, without a way through matching.
  'system.enableActivityEagerExecution': true,
  'system.enableEagerWorkflowStart': true,
  // One worker polls: partitions would only forward to each other.
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
};

export function serverArguments(sync: Sync, dir: string, port: number): readonly string[] {
  const pragmas = ['journal_mode=WAL', `synchronous=${SYNCHRONOUS[sync]}`];
  const settings = Object.entries(DYNAMIC_CONFIG).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return [
    ...['server', 'start-dev', '--headless', '--ip', '127.0.0.1', '--port', String(port)],
    ...['--db-filename', join(dir, 't.db'), '--log-level', 'error'],
    ...pragmas.flatMap((pragma) => ['--sqlite-pragma', pragma]),
    ...settings.flatMap((setting) => ['--dynamic-config-value', setting]),
  ];
}

export async function startTemporalServer({ sync, dir }: SystemOptions): Promise<ServerHandle> {
  const { command } = await requirePart('temporal');
  return startOnFreePorts(async () => {
    const port = await freePort();
    return {
      name: 'temporal',
      command,
      args: serverArguments(sync, dir, port),
      env: {},
      dir,
      detached: false,
      url: `127.0.0.1:${port}`,
      ports: { frontend: port },
      clientEnv: {},
      ready: async () => !(await isPortFree(port)),
      readyTimeoutMs: 60_000,
      stopTimeoutMs: 10_000,
    };
  }, false);
}
