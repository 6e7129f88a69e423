/** Writes are gathered per turn of the event loop. It looks into the client library, so it tells when that changes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { type ServerHandle, startNats } from '../../ops/stack/index.ts';
import { connectNats } from '../../src/drivers/index.ts';

let nats: ServerHandle;
const dir = mkdtempSync(join(tmpdir(), 'millrace-gather-'));

beforeAll(async () => {
  nats = await startNats({ dir });
});

afterAll(async () => {
  await nats?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Writes of the connection so far. */
function countWrites(nc: NatsConnection): () => number {
  const { transport } = (nc as unknown as { protocol: { transport: { send(frame: Uint8Array): void } } }).protocol;
  const send = transport.send.bind(transport);
  let writes = 0;
  transport.send = (frame) => {
    writes++;
    send(frame);
  };
  return () => writes;
}

/** Publishes in one turn of the event loop, one await after another; gives the writes it took and what arrived. */
async function publishOver(awaits: number, nc: NatsConnection): Promise<{ writes: number; arrived: string[] }> {
  const arrived: string[] = [];
  const subscription = nc.subscribe('gather', { callback: (_error, msg) => void arrived.push(msg.string()) });
  await nc.flush();
  const writes = countWrites(nc);
  for (let i = 0; i < awaits; i++) {
    nc.publish('gather', String(i));
    await undefined;
    await undefined;
  }
  await new Promise((resolve) => setImmediate(resolve));
  const counted = writes();
  await nc.flush();
  subscription.unsubscribe();
  return { writes: counted, arrived };
}

const all = Array.from({ length: 20 }, (_, i) => String(i));

it('what is published over many awaits of a turn leaves in one write, in its order', async () => {
  const door = await connectNats({ url: nats.url, name: 'gather' });
  onTestFinished(() => door.close());
  expect(await publishOver(20, door.nc)).toEqual({ writes: 1, arrived: all });
});

it('the library alone writes many times (negative twin)', async () => {
  const nc = await connect({ servers: nats.url });
  onTestFinished(() => nc.close());
  const { writes, arrived } = await publishOver(20, nc);
  expect(arrived).toEqual(all);
  expect(writes).toBeGreaterThan(5);
});

it('what is published right before the close arrives', async () => {
  const door = await connectNats({ url: nats.url, name: 'gather' });
  onTestFinished(() => door.close());
  const other = await connectNats({ url: nats.url, name: 'other' });
  const arrived = new Promise<string>((resolve) => {
    door.nc.subscribe('last', { callback: (_error, msg) => resolve(msg.string()) });
  });
  await door.nc.flush();
  other.nc.publish('last', 'word');
  await other.close();
  expect(await arrived).toBe('word');
});
