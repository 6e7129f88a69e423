/** Millrace's durable functions, loaded like any peer: client and worker in the host's process, nats-server beside it. */
import { startNats } from '../../ops/stack/index.ts';
import { product } from './product.ts';
import type { StartSystem } from './system.ts';

const { drivers, functions } = await product();
const { workflow } = functions;

interface Steps {
  readonly n: number;
  readonly payload: string;
}

const steps = workflow<Steps, number>('bench-steps', {}, async (ctx, { n, payload }) => {
  let last = payload;
  for (let i = 0; i < n; i++) last = await ctx.step('step', () => last);
  return last.length === payload.length ? n : -1;
});

const wide = workflow<number, number>('bench-wide', {}, async (ctx, width) => {
  const done = await Promise.all(Array.from({ length: width }, (_, i) => ctx.step(`item-${i}`, () => i)));
  return done.length;
});

const sleeper = workflow<number, null>('bench-sleep', {}, async (ctx, ms) => {
  await ctx.sleep(ms);
  return null;
});

const waiter = workflow<null, null>('bench-signal', {}, async (ctx) => {
  await ctx.signal('go');
  return null;
});

/** As rows say it. */
const DURABILITY = {
  lazy: "NATS JetStream file store, R1, the server's default sync_interval (2 minutes): acknowledged before fsync",
  always: 'NATS JetStream file store, R1, sync_interval always: fsynced before it is acknowledged',
} as const;

export const start: StartSystem = async ({ sync, dir }) => {
  // The last of two settings in a server's configuration counts; our own default is always.
  const extra = sync === 'always' ? {} : { extraConf: 'jetstream { sync_interval: "2m" }' };
  const server = await startNats({ dir, ...extra });
  const door = await drivers.connectNats({ url: server.url, name: 'bench' });
  const serving = await functions.serveWorkflows([steps, wide, sleeper, waiter], {
    nats: door,
    name: 'bench',
    concurrency: 2_000,
  });
  const client = await functions.createClient({ nats: door });
  return {
    name: 'millrace',
    version: `nats-server ${door.nc.info?.version ?? 'unknown'}`,
    durability: DURABILITY[sync],
    serverPids: [server.pid],
    run: async (n, payload) => (await client.start(steps, { n, payload })).result(),
    fanOut: async (width) => (await client.start(wide, width)).result(),
    sleep: async (ms) => void (await (await client.start(sleeper, ms)).result()),
    waiting: async () => {
      const handle = await client.start(waiter, null);
      return {
        send: async () => {
          await client.signal(waiter, handle.runId, 'go', null);
          await handle.result();
        },
      };
    },
    stop: async () => {
      await client.close();
      await serving.drain(1_000);
      await door.close();
      await server.stop();
    },
  };
};
