/**
 * Temporal: its development server beside us, its SDK's client and worker in this process. A function of n steps is a workflow
 * that awaits n activities one after another, each result an event in the workflow's history before the next is scheduled.
 *
 * temporal-local.ts is the same with local activities. These are the faster ones, but their results are stored only when the
 * workflow task ends that ran them, here at the end of the workflow: a crash in between runs all of them again.
 */
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { StartSystem, System, SystemOptions } from '../systems/system.ts';
import { DURABILITY, startTemporalServer } from './temporal-server.ts';
import type { Activities, fanOut, sleeper, steps, waiter } from './temporal-workflows.ts';

type Kind = 'ordinary' | 'local';

const TASK_QUEUE = 'bench';
const NAMESPACE = 'default';
const READY_MS = 60_000;
const CONCURRENT = 200;

/** The signal of the workflow `waiter`: its definition lives in the sandbox. */
const GO = 'go';

const activities: Activities = { step: async (payload) => payload };

/** The frontend listens before the namespace can be used. */
async function namespaceReady(connection: NativeConnection): Promise<string> {
  const until = Date.now() + READY_MS;
  for (;;) {
    try {
      await connection.workflowService.describeNamespace({ namespace: NAMESPACE });
      const { serverVersion } = await connection.workflowService.getSystemInfo({});
      return serverVersion ?? 'unknown';
    } catch (error) {
      if (Date.now() > until) throw error;
      await pause(50);
    }
  }
}

async function connect(address: string): Promise<NativeConnection> {
  const until = Date.now() + READY_MS;
  for (;;) {
    try {
      return await NativeConnection.connect({ address });
    } catch (error) {
      if (Date.now() > until) throw error;
      await pause(50);
    }
  }
}

async function createWorker(connection: NativeConnection): Promise<Worker> {
  const logger = new DefaultLogger('ERROR');
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('./temporal-workflows.ts', import.meta.url)),
    logger,
  });
  return Worker.create({
    connection,
    namespace: NAMESPACE,
    taskQueue: TASK_QUEUE,
    workflowBundle,
    activities,
    maxConcurrentWorkflowTaskExecutions: CONCURRENT,
    maxConcurrentActivityTaskExecutions: CONCURRENT,
    maxConcurrentLocalActivityExecutions: CONCURRENT,
    maxConcurrentWorkflowTaskPolls: 16,
    maxConcurrentActivityTaskPolls: 16,
    maxEagerActivityReservationsPerWorkflowTask: 10,
    // More than are ever under way: no workflow is replayed.
    maxCachedWorkflows: 2_000,
  });
}

function sdkVersion(): string {
  const found: { readonly version: string } = createRequire(import.meta.url)('@temporalio/worker/package.json');
  return found.version;
}

export async function startTemporal(options: SystemOptions, kind: Kind): Promise<System> {
  const { sync } = options;
  const server = await startTemporalServer(options);
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { filter: { core: 'ERROR', other: 'ERROR' }, console: {} } },
    shutdownSignals: [],
    workerHeartbeatInterval: 0,
  });
  const connection = await connect(server.url);
  const serverVersion = await namespaceReady(connection);
  const worker = await createWorker(connection);
  const running = worker.run();
  const { workflow } = new Client({ connection, namespace: NAMESPACE });
  const common = () => ({ taskQueue: TASK_QUEUE, workflowId: randomUUID(), requestEagerStart: true });
  const local = kind === 'local';
  return {
    name: local ? 'temporal-local' : 'temporal',
    version: `Temporal server ${serverVersion} (development server), SDK ${sdkVersion()}`,
    durability: local
      ? `${DURABILITY[sync]}; the results of all steps of a workflow task are stored together when it ends`
      : DURABILITY[sync],
    serverPids: [server.pid],
    run: (count, payload) =>
      workflow.execute<typeof steps>(local ? 'localSteps' : 'steps', { ...common(), args: [count, payload] }),
    fanOut: (width) =>
      workflow.execute<typeof fanOut>(local ? 'localFanOut' : 'fanOut', { ...common(), args: [width] }),
    sleep: (ms) => workflow.execute<typeof sleeper>('sleeper', { ...common(), args: [ms] }),
    async waiting() {
      const handle = await workflow.start<typeof waiter>('waiter', common());
      return {
        async send() {
          await handle.signal(GO);
          await handle.result();
        },
      };
    },
    async stop() {
      worker.shutdown();
      await running.catch(() => undefined);
      await connection.close().catch(() => undefined);
      await server.stop();
    },
  };
}

export const start: StartSystem = (options) => startTemporal(options, 'ordinary');
