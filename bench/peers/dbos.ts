/**
 * DBOS: a library on PostgreSQL, so client and worker are this process and its server is PostgreSQL. A function of n steps is a
 * registered workflow that awaits n times `DBOS.runStep`; whoever runs it calls it and has its result, without polling.
 */
import { DBOS } from '@dbos-inc/dbos-sdk';
import { peerVersion } from '../peers-install.ts';
import type { StartSystem } from '../systems/system.ts';
import { startPostgres } from './postgres.ts';

/** Connections of its pool. */
const POOL = 32;
const SIGNAL_WAIT_S = 600;

async function run(steps: number, payload: string): Promise<number> {
  let done = 0;
  for (let i = 0; i < steps; i++) {
    const gave = await DBOS.runStep(async () => payload, { name: 'step' });
    if (gave.length === payload.length) done++;
  }
  return done;
}

async function fanOut(width: number): Promise<number> {
  const parts = Array.from({ length: width }, (_, i) => DBOS.runStep(async () => i, { name: 'part' }));
  return (await Promise.all(parts)).length;
}

async function wait(): Promise<string> {
  const signal = await DBOS.recv<string>('signal', { timeoutSeconds: SIGNAL_WAIT_S });
  if (signal === null) throw new Error('no signal came');
  return signal;
}

// Not methods of one object: DBOS takes what it finds before the dot for an instance of a class.
const runWorkflow = DBOS.registerWorkflow(run, { name: 'run' });
const fanOutWorkflow = DBOS.registerWorkflow(fanOut, { name: 'fanOut' });
const sleepWorkflow = DBOS.registerWorkflow((ms: number) => DBOS.sleep(ms), { name: 'sleep' });
const waitWorkflow = DBOS.registerWorkflow(wait, { name: 'wait' });

const DURABILITY = {
  lazy: 'PostgreSQL, a commit per step with synchronous_commit = off: in memory when it counts, fsynced within about 0.6 s',
  always:
    'PostgreSQL, a commit per step with synchronous_commit = on (its default): fsynced when it counts, those of one moment together',
} as const;

export const start: StartSystem = async ({ sync, dir }) => {
  const postgres = await startPostgres(dir, sync);
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: postgres.url('bench'),
    systemDatabasePoolSize: POOL,
    logLevel: 'error',
    tracingEnabled: false,
    enableOTLP: false,
    applicationVersion: '1',
  });
  await DBOS.launch();
  return {
    name: 'dbos',
    version: `SDK ${peerVersion('@dbos-inc/dbos-sdk')}, PostgreSQL ${postgres.version}, pool of ${POOL}`,
    durability: DURABILITY[sync],
    serverPids: [postgres.server.pid],
    run: (steps, payload) => runWorkflow(steps, payload),
    fanOut: (width) => fanOutWorkflow(width),
    sleep: (ms) => sleepWorkflow(ms),
    waiting: async () => {
      const handle = await DBOS.startWorkflow(waitWorkflow)();
      return {
        send: async () => {
          await DBOS.send(handle.workflowID, 'signal', 'signal');
          await handle.getResult();
        },
      };
    },
    stop: async () => {
      await DBOS.shutdown();
      // SIGINT is its fast shutdown; SIGTERM would wait for clients.
      await postgres.server.stop('SIGINT');
    },
  };
};
