import type { Msg } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectNats, type NatsDoor, openPublisher, type PublishOutcome } from '../../src/drivers/index.ts';
import { type NatsKit, withNats } from '../kit/index.ts';

let kit: NatsKit;
let door: NatsDoor;
const data = new TextEncoder().encode('ünï');

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  await door.jsm.streams.add({ name: 'P', subjects: ['p.*'] });
});
afterAll(() => kit?.stop());

describe('publisher', () => {
  it('brings headers and data to the stream as they were given', async () => {
    const publisher = openPublisher(door.nc);
    const outcome = await publisher.publish('p.a', data, { 'X-Name': 'ü', 'Nats-Msg-Id': 'a:1' });
    expect(outcome).toEqual({ kind: 'stored', stream: 'P', seq: 1, duplicate: false });
    const stored = await door.jsm.streams.getMessage('P', { seq: 1 });
    expect(stored?.string()).toBe('ünï');
    expect([...(stored?.header ?? [])]).toEqual([
      ['X-Name', ['ü']],
      ['Nats-Msg-Id', ['a:1']],
    ]);
    expect(await publisher.publish('p.b', data, {})).toEqual({ kind: 'stored', stream: 'P', seq: 2, duplicate: false });
    expect(await publisher.publish('p.a', data, { 'Nats-Msg-Id': 'a:1' })).toEqual({
      kind: 'stored',
      stream: 'P',
      seq: 1,
      duplicate: true,
    });
    publisher.close();
  });

  it('ends as refused: a stale expectation, and a subject that no stream has', async () => {
    const publisher = openPublisher(door.nc);
    expect(await publisher.publish('p.c', data, { 'Nats-Expected-Last-Subject-Sequence': '99' })).toMatchObject({
      kind: 'refused',
      code: 10071,
    });
    expect(await publisher.publish('nobody.c', data, {})).toMatchObject({ kind: 'refused', code: 503 });
    publisher.close();
  });

  it('ends as unknown: closed, no answer in time, the connection closed', async () => {
    const own = await connectNats({ url: kit.url, name: 'own' });
    const closed = openPublisher(own.nc);
    const outstanding = closed.publish('p.d', data, {});
    closed.close();
    expect(await outstanding).toEqual({ kind: 'unknown', reason: 'the publisher was closed' });

    own.nc.subscribe('silent', { callback: () => undefined });
    const patient = openPublisher(own.nc, 300);
    expect(await patient.publish('silent', data, {})).toEqual({
      kind: 'unknown',
      reason: 'no acknowledgement within 300 ms',
    });
    const lost = patient.publish('silent', data, {});
    await own.close();
    expect((await lost).kind).toBe('unknown');
    expect(await patient.publish('p.d', data, {})).toEqual({ kind: 'unknown', reason: 'the connection is closed' });
  });

  it("an answer that comes too late is nobody else's", async () => {
    const own = await connectNats({ url: kit.url, name: 'own' });
    const asked = new Promise<Msg>((resolve) => {
      own.nc.subscribe('late', { callback: (_error, msg) => resolve(msg) });
    });
    const publisher = openPublisher(own.nc, 300);
    const late = await publisher.publish('late', data, {});
    expect(late.kind).toBe('unknown');
    const next = publisher.publish('p.late', data, {});
    (await asked).respond('{"stream":"P","seq":99999}');
    const outcome = await next;
    const last = await door.jsm.streams.getMessage('P', { last_by_subj: 'p.late' });
    expect(outcome).toEqual({ kind: 'stored', stream: 'P', seq: last?.seq, duplicate: false });
    publisher.close();
    await own.close();
  });

  it('rejects what cannot be sent, and the next publish goes through', async () => {
    const publisher = openPublisher(door.nc);
    await expect(publisher.publish('p d', data, {})).rejects.toThrow();
    await expect(publisher.publish('p.d', data, { X: 'a\r\nNats-Rollup: all' })).rejects.toThrow(/cannot be sent/);
    await expect(publisher.publish('p.d', new Uint8Array(2_000_000), {})).rejects.toThrow();
    const outcome = await new Promise<PublishOutcome>((resolve) =>
      publisher.send('p.e', data, 'X-Name: e\r\n', resolve),
    );
    expect(outcome).toMatchObject({ kind: 'stored', stream: 'P' });
    publisher.close();
  });
});
