/** Consuming a durable consumer: what is in hand is not delivered again, however long it takes. */
import { AckPolicy } from '@nats-io/jetstream';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { consumeDurable, type Delivered, type NatsDoor } from '../../src/drivers/index.ts';
import { Collector, deferred, type NatsKit, withNats } from '../kit/index.ts';

const STREAM = 'SLOW';
const ACK_WAIT_MS = 300;

let kit: NatsKit;
let door: NatsDoor;

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  await door.jsm.streams.add({ name: STREAM, subjects: ['slow.*'] });
});
afterAll(() => kit?.stop());

async function consumerOn(subject: string): Promise<string> {
  const durable_name = subject.replace('.', '-');
  await door.jsm.consumers.add(STREAM, {
    durable_name,
    filter_subject: subject,
    ack_policy: AckPolicy.Explicit,
    ack_wait: ACK_WAIT_MS * 1_000_000,
  });
  return durable_name;
}

/** The `working` signs that go by on their way to the server, one text per sign: the message's sequence. */
function signs(consumer: string): Collector<string> {
  const seen = new Collector<string>();
  door.nc.subscribe(`$JS.ACK.${STREAM}.${consumer}.>`, {
    callback: (_error, msg) => {
      if (msg.string() === '+WPI') seen.add(msg.subject.split('.')[5] ?? '');
    },
  });
  return seen;
}

it('holds what is being handled and what waits for its turn beyond the ack wait (D1)', async () => {
  const consumer = await consumerOn('slow.held');
  const renewed = signs(consumer);
  const first = deferred();
  const deliveries = new Collector<readonly [number, number]>();
  const consumption = consumeDurable({
    door,
    stream: STREAM,
    consumer,
    maxInFlight: 1,
    async handle(msg) {
      deliveries.add([msg.seq, msg.deliveries]);
      await first.promise;
      msg.ack();
    },
  });
  const sequences: number[] = [];
  for (let i = 0; i < 3; i++) sequences.push((await door.js.publish('slow.held', String(i))).seq);
  // The third is still at the server (D2). A sign comes every third of the ack wait: after nine, two ack waits have passed.
  const often = (items: readonly string[]): boolean =>
    sequences.slice(0, 2).every((seq) => items.filter((one) => one === String(seq)).length >= 9);
  await renewed.until('nine signs of each of the first two', often);
  first.resolve();
  await deliveries.until('all three', (items) => items.length >= 3);
  await consumption.stop();
  expect(deliveries.items).toEqual(sequences.map((seq) => [seq, 1]));
  expect((await door.jsm.consumers.info(STREAM, consumer)).num_redelivered).toBe(0);
});

it('gives back at once what it has not begun when it stops', async () => {
  const consumer = await consumerOn('slow.back');
  const begun = deferred<Delivered>();
  const consumption = consumeDurable({
    door,
    stream: STREAM,
    consumer,
    maxInFlight: 1,
    async handle(msg) {
      begun.resolve(msg);
      await other.promise;
      msg.ack();
    },
  });
  const other = deferred();
  for (let i = 0; i < 2; i++) await door.js.publish('slow.back', String(i));
  await begun.promise;
  const stopped = consumption.stop();
  const next = await (await door.js.consumers.get(STREAM, consumer)).next({ expires: 10_000 });
  expect(next?.string()).toBe('1');
  next?.ack();
  other.resolve();
  await stopped;
});

it('the twin: without a sign the server delivers again', async () => {
  const consumer = await consumerOn('slow.twin');
  await door.js.publish('slow.twin', 'x');
  const raw = await door.js.consumers.get(STREAM, consumer);
  expect((await raw.next({ expires: 5_000 }))?.info.deliveryCount).toBe(1);
  expect((await raw.next({ expires: 5_000 }))?.info.deliveryCount).toBe(2);
});

it('has no more than twice what it may handle at once in hand (D2)', async () => {
  const consumer = await consumerOn('slow.many');
  for (let i = 0; i < 20; i++) await door.js.publish('slow.many', String(i));
  const renewed = signs(consumer);
  const go = deferred();
  const seen = new Collector<number>();
  const consumption = consumeDurable({
    door,
    stream: STREAM,
    consumer,
    maxInFlight: 3,
    async handle(msg) {
      await go.promise;
      seen.add(msg.seq);
      msg.ack();
    },
  });
  // By the fourth sign of one message whatever else was asked for has come.
  await renewed.until('four signs of one', (items) => items.some((one) => items.filter((x) => x === one).length >= 4));
  expect((await door.jsm.consumers.info(STREAM, consumer)).num_ack_pending).toBe(6);
  go.resolve();
  await seen.until('all', (items) => items.length >= 20);
  expect(seen.items).toEqual([...seen.items].sort((a, b) => a - b));
  await consumption.stop();
});
