/** The event socket against a scripted server (E1 to E3), and what becomes of its observations. */
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { tagsOf } from '../../../src/bridge/key.ts';
import { observe } from '../../../src/bridge/observe.ts';
import { type EventSocket, type Observation, openEventSocket } from '../../../src/bridge/prefect/index.ts';
import { systemClock } from '../../../src/drivers/index.ts';
import type { InputBody, Journal, ReconcileKey } from '../../../src/engine/index.ts';
import { noTelemetry } from '../../../src/telemetry/index.ts';

const KEY = { workflow: 'report', runId: 'r1', step: 'compute', attempt: 1 };

/** A list that can be waited for. */
class Inbox<T> {
  readonly items: T[] = [];
  #waiting: { count: number; resolve: () => void }[] = [];

  push(item: T): void {
    this.items.push(item);
    for (const { count, resolve } of this.#waiting) if (this.items.length >= count) resolve();
  }

  async take(count: number): Promise<readonly T[]> {
    if (this.items.length < count) await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
    return this.items;
  }
}

interface Filter {
  readonly filter: { readonly occurred: { readonly since: string } };
}

let server: WebSocketServer;
let connections: Inbox<WebSocket>;
let said: Inbox<Record<string, unknown>>;
let seen: Inbox<Observation>;
let socket: EventSocket;

const event = (id: string, type: string, occurred: string) => ({
  type: 'event',
  event: {
    id,
    event: `prefect.flow-run.${type}`,
    occurred,
    resource: { 'prefect.resource.id': 'prefect.flow-run.f1', 'prefect.state-type': type, 'prefect.state-name': type },
    related: tagsOf(KEY).map((tag) => ({
      'prefect.resource.id': `prefect.tag.${tag}`,
      'prefect.resource.role': 'tag',
    })),
  },
});

beforeEach(async () => {
  connections = new Inbox();
  said = new Inbox();
  seen = new Inbox();
  server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => 'prefect' });
  await new Promise((resolve) => server.once('listening', resolve));
  server.on('connection', (ws, request) => {
    expect(request.url).toBe('/api/events/out');
    ws.on('message', (data) => {
      const message = JSON.parse(String(data)) as Record<string, unknown>;
      said.push(message);
      if (message['type'] === 'auth') ws.send(JSON.stringify({ type: 'auth_success' }));
    });
    connections.push(ws);
  });
  const { port } = server.address() as AddressInfo;
  socket = openEventSocket({
    url: `http://127.0.0.1:${port}/api`,
    apiKey: 'secret',
    clock: systemClock,
    telemetry: noTelemetry,
    onObservation: (observation) => seen.push(observation),
    backoff: { initialMs: 10, factor: 1, maxMs: 10, jitter: 0 },
  });
});

afterEach(async () => {
  await socket.stop();
  for (const client of server.clients) client.terminate();
  await new Promise((resolve) => server.close(resolve));
});

const sendTo = (ws: WebSocket | undefined, message: unknown): void => ws?.send(JSON.stringify(message));

describe('the socket', () => {
  test('authenticates, asks for our flow runs, hands observations on', async () => {
    const [auth, filter] = await said.take(2);
    expect(auth).toEqual({ type: 'auth', token: 'secret' });
    expect(filter).toMatchObject({
      type: 'filter',
      backfill: true,
      filter: {
        event: { prefix: ['prefect.flow-run.'] },
        related: { id: ['prefect.tag.millrace'], role: ['tag'] },
      },
    });
    const [ws] = await connections.take(1);
    sendTo(ws, event('e1', 'RUNNING', '2026-01-01T00:00:00Z'));
    const [first] = await seen.take(1);
    expect(first).toMatchObject({ key: KEY, flowRunId: 'f1', state: { type: 'RUNNING' } });
    expect(socket.connected()).toBe(true);
  });

  test('E1, E2: after a break it asks from the last observation on, and passes nothing on twice', async () => {
    const at = new Date(Date.now() + 3_600_000).toISOString();
    await said.take(2);
    const [ws] = await connections.take(1);
    sendTo(ws, event('e1', 'PENDING', at));
    await seen.take(1);
    ws?.terminate();
    const filter = (await said.take(4))[3] as unknown as Filter;
    expect(Date.parse(filter.filter.occurred.since)).toBe(Date.parse(at) - 30_000);
    const second = (await connections.take(2))[1];
    sendTo(second, event('e1', 'PENDING', at));
    sendTo(second, event('e2', 'RUNNING', at));
    expect((await seen.take(2)).map(({ eventId }) => eventId)).toEqual(['e1', 'e2']);
  });

  test('E3: what it cannot read does no harm', async () => {
    await said.take(2);
    const [ws] = await connections.take(1);
    ws?.send('not JSON');
    sendTo(ws, { type: 'event', event: 5 });
    sendTo(ws, { type: 'something-new' });
    sendTo(ws, event('e1', 'RUNNING', '2026-01-01T00:00:00Z'));
    expect((await seen.take(1)).map(({ eventId }) => eventId)).toEqual(['e1']);
  });

  test('a server that is not there is tried again until it stops', async () => {
    await said.take(2);
    for (const client of server.clients) client.terminate();
    await new Promise((resolve) => server.close(resolve));
    await socket.stop();
    expect(socket.connected()).toBe(false);
  });
});

describe('what becomes of an observation', () => {
  const outcome = async (type: Observation['state']['type'], workflow = 'report') => {
    const sent: { body: InputBody; msgId: string }[] = [];
    const enqueued: { key: ReconcileKey; delayMs: number | undefined }[] = [];
    const state = { type, name: type, message: undefined, at: 1 };
    const send: Journal['send'] = async (_run, body, { msgId }) => {
      sent.push({ body, msgId });
      return { seq: 1, duplicate: false };
    };
    await observe(
      {
        journal: { send },
        queue: { enqueue: async (key, options) => void enqueued.push({ key, delayMs: options?.delayMs }) },
        isOurs: (name) => name === 'report',
        telemetry: noTelemetry,
      },
      { eventId: 'e', occurredAt: 1, key: { ...KEY, workflow }, flowRunId: 'f1', state },
    );
    return { sent: sent.map(({ msgId }) => msgId), enqueued: enqueued.map(({ delayMs }) => delayMs ?? 0) };
  };

  test.each([
    ['SCHEDULED', { sent: [], enqueued: [] }],
    ['PENDING', { sent: ['flow:f1:PENDING'], enqueued: [] }],
    ['RUNNING', { sent: ['flow:f1:RUNNING'], enqueued: [] }],
    ['PAUSED', { sent: ['flow:f1:PAUSED'], enqueued: [] }],
    ['CANCELLING', { sent: [], enqueued: [0] }],
    ['CANCELLED', { sent: [], enqueued: [0] }],
    ['COMPLETED', { sent: [], enqueued: [2_000] }],
    ['FAILED', { sent: [], enqueued: [2_000] }],
    ['CRASHED', { sent: [], enqueued: [2_000] }],
  ] as const)('%s', async (type, expected) => {
    expect(await outcome(type)).toEqual(expected);
  });

  test('of another installation: nothing', async () => {
    expect(await outcome('RUNNING', 'theirs')).toEqual({ sent: [], enqueued: [] });
  });

  test('a failure on the way is swallowed: the sweep finds it', async () => {
    const broken = async () => Promise.reject(new Error('down'));
    const state = { type: 'CANCELLED' as const, name: 'Cancelled', message: undefined, at: 1 };
    await observe(
      { journal: { send: broken }, queue: { enqueue: broken }, isOurs: () => true, telemetry: noTelemetry },
      { eventId: 'e', occurredAt: 1, key: KEY, flowRunId: 'f1', state },
    );
  });
});
