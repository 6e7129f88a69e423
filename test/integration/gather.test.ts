/** Writes are gathered per turn of the event loop. It looks into the client library, so it tells when that changes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { type ServerHandle, startNats } from '../../ops/stack/index.ts';
import { wireOf } from '../../src/drivers/gather.nats.ts';
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

/** What the wire of a connection brings to a subscriber of another one, in order: subject, first header, text. */
async function brought(nc: NatsConnection, publish: (nc: NatsConnection) => void): Promise<string[]> {
  const listener = await connect({ servers: nats.url });
  onTestFinished(() => listener.close());
  const arrived: string[] = [];
  listener.subscribe('wire.>', {
    callback: (_error, msg) => {
      const [header] = [...(msg.headers ?? [])].map(([name, [value]]) => `${name}=${value}`);
      const text = msg.string();
      arrived.push([msg.subject, msg.reply ?? '', header ?? '', text.length > 99 ? text.length : text].join(' '));
    },
  });
  await listener.flush();
  publish(nc);
  await nc.flush();
  await listener.flush();
  return arrived;
}

/** Ours between the library's, text and bytes, of one, two and three bytes a character, small and large. */
function publishMixed(nc: NatsConnection): void {
  const wire = wireOf(nc);
  nc.publish('wire.1', 'library');
  wire.publish('wire.2', 'answer.here', 'A: b\r\n', 'text');
  wire.publish('wire.3', '', 'A: ü\r\n', new TextEncoder().encode('ü€'));
  nc.publish('wire.4', 'library');
  wire.publish('wire.ü', '', '', 'ü€😀');
  wire.respond('wire.6', '+ACK');
  wire.publish('wire.7', '', 'A: b\r\n', 'x'.repeat(100_000));
  for (let i = 0; i < 300; i++) wire.publish('wire.8', '', `N: ${i}\r\n`, 'y'.repeat(1_000));
  wire.respond('wire.9', 'last');
}

const MIXED = [
  'wire.1   library',
  'wire.2 answer.here A=b text',
  'wire.3  A=ü ü€',
  'wire.4   library',
  'wire.ü   ü€😀',
  'wire.6   +ACK',
  'wire.7  A=b 100000',
  ...Array.from({ length: 300 }, (_, i) => `wire.8  N=${i} 1000`),
  'wire.9   last',
];

it('W1 W2 brings everything as it was given, in its order among what the library writes', async () => {
  const door = await connectNats({ url: nats.url, name: 'wire' });
  onTestFinished(() => door.close());
  expect(await brought(door.nc, publishMixed)).toEqual(MIXED);
});

it('brings the same over a connection that does not gather', async () => {
  const nc = await connect({ servers: nats.url });
  onTestFinished(() => nc.close());
  expect(await brought(nc, publishMixed)).toEqual(MIXED);
});

it('W3 what is written while the connection is broken shares the fate of what the library has buffered then', async () => {
  const door = await connectNats({ url: nats.url, name: 'wire' });
  const listener = await connect({ servers: nats.url });
  onTestFinished(async () => void (await Promise.all([door.close(), listener.close()])));
  const arrived: string[] = [];
  listener.subscribe('wire.>', { callback: (_error, msg) => void arrived.push(`${msg.subject} ${msg.string()}`) });
  await listener.flush();
  const { nc } = door;
  const wire = wireOf(nc);
  const again = (async () => {
    for await (const { type } of nc.status()) if (type === 'reconnect') return;
  })();
  await nc.reconnect();
  nc.publish('wire.library', 'broken');
  wire.respond('wire.ours', 'broken');
  await again;
  nc.publish('wire.library', 'whole');
  wire.respond('wire.ours', 'whole');
  await nc.flush();
  await listener.flush();
  const of = (subject: string) => arrived.flatMap((one) => (one.startsWith(subject) ? [one.split(' ')[1]] : []));
  expect(of('wire.ours')).toEqual(of('wire.library'));
  expect(of('wire.ours').at(-1)).toBe('whole');
});

it('throws what the library throws', async () => {
  const door = await connectNats({ url: nats.url, name: 'wire' });
  const wire = wireOf(door.nc);
  expect(() => wire.publish('a b', '', '', 'x')).toThrow(/subject/);
  expect(() => wire.publish('', '', '', 'x')).toThrow(/subject/);
  expect(() => wire.publish('wire.a', '', '', 'x'.repeat(2_000_000))).toThrow(/max_payload/);
  await door.close();
  expect(() => wire.respond('wire.a', 'x')).toThrow(/closed/);
});
