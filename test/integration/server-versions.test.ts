/** What people meet who point Millrace at the wrong server. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../ops/stack/index.ts';
import { assertPayload, connectNats, connectRedis, isOlder, startHttp } from '../../src/drivers/index.ts';
import { isMillraceError, type MillraceError } from '../../src/kernel/index.ts';
import { type NatsKit, withNats } from '../kit/index.ts';

let kit: NatsKit;
beforeAll(async () => {
  kit = await withNats({ token: 'right' });
});
afterAll(() => kit?.stop());

async function refusal(work: Promise<unknown>): Promise<MillraceError> {
  const error = await work.then(
    () => new Error('it went through'),
    (thrown: unknown) => thrown,
  );
  if (!isMillraceError(error)) throw error;
  return error;
}

/** Greets as a nats-server of that version and answers pings: all that a client sees at first. */
async function greeter(info: object): Promise<{ url: string; server: Server }> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write(
      `INFO ${JSON.stringify({ server_id: 'X', headers: true, max_payload: 1_048_576, proto: 1, ...info })}\r\n`,
    );
    socket.on('data', (data) => {
      if (data.toString().includes('PING')) socket.write('PONG\r\n');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

describe('connecting to NATS', () => {
  it('opens with the right token', async () => {
    const door = await connectNats({ url: kit.url, name: 't', token: 'right' });
    expect(door.nc.info?.version).toMatch(/^2\./);
    await door.close();
    await door.close();
  });

  it.each([
    ['a wrong token', { token: 'wrong' }],
    ['no token', {}],
  ])('says what to check with %s', async (_what, given) => {
    const error = await refusal(connectNats({ url: kit.url, name: 't', ...given }));
    expect([error.code, error.next]).toEqual(['MR_NATS_AUTH', 'terminal']);
    expect(error.message).toContain(kit.url);
    expect(error.hint).toContain('MILLRACE_NATS_TOKEN');
    expect(error.message).not.toContain('wrong');
  });

  it('names the address when nobody answers there, at once', async () => {
    const url = `nats://127.0.0.1:${await freePort()}`;
    const error = await refusal(connectNats({ url, name: 't' }));
    expect([error.code, error.next]).toEqual(['MR_NATS_UNREACHABLE', 'retry']);
    expect(error.message).toContain(url);
    expect(error.hint).toContain('MILLRACE_NATS_URL');
  });

  it('refuses a server that is too old, says why, and leaves no connection', async () => {
    const old = await greeter({ version: '2.9.10', jetstream: true });
    const error = await refusal(connectNats({ url: old.url, name: 't' }));
    expect(error.code).toBe('MR_NATS_TOO_OLD');
    expect(error.message).toBe(`nats-server 2.9.10 at ${old.url} is older than 2.14.6`);
    expect(error.hint).toContain('would lose timers');
    old.server.close();
    await once(old.server, 'close'); // does not happen while a connection is open
  });

  it('refuses a server without JetStream', async () => {
    const plain = await greeter({ version: '2.15.2' });
    const error = await refusal(connectNats({ url: plain.url, name: 't' }));
    expect([error.code, error.next]).toEqual(['MR_NATS', 'terminal']);
    expect(error.hint).toContain('-js');
    plain.server.close();
  });

  it('says so when the credentials file is not there', async () => {
    const error = await refusal(connectNats({ url: kit.url, name: 't', credsFile: 'no/such.creds' }));
    expect([error.code, error.place]).toEqual(['MR_CONFIG', { file: 'no/such.creds' }]);
  });

  it('compares versions by number', () => {
    expect(isOlder('2.14.5', '2.14.6')).toBe(true);
    expect(isOlder('2.9.99', '2.14.6')).toBe(true);
    expect(isOlder('2.14.6', '2.14.6')).toBe(false);
    expect(isOlder('2.15.0-RC.1', '2.14.6')).toBe(false);
    expect(isOlder('3.0.0', '2.14.6')).toBe(false);
  });

  it('measures a message against what this server takes', async () => {
    const door = await connectNats({ url: kit.url, name: 't', token: 'right' });
    expect(() => assertPayload(door.nc, new Uint8Array(1_000_000), 'it')).not.toThrow();
    expect(() => assertPayload(door.nc, new Uint8Array(2_000_000), 'the input of step "load"')).toThrow(
      'the input of step "load" has 2000000 bytes, the server takes 1044480',
    );
    await door.close();
  });
});

describe('the other doors', () => {
  it('says where no Redis answers, without the password', async () => {
    const url = `redis://user:secret@127.0.0.1:${await freePort()}`;
    const error = await refusal(connectRedis({ url, name: 't' }));
    expect(error.code).toBe('MR_REDIS_UNREACHABLE');
    expect(error.message).toContain('ECONNREFUSED');
    expect(error.message).not.toContain('secret');
  });

  it('answers health and metrics, and names a port in use', async () => {
    let ok = true;
    const http = await startHttp({
      port: 0,
      health: async () => [{ name: 'nats', ok, detail: 'a sentence' }],
      metrics: async () => 'millrace_up 1\n',
    });
    expect((await fetch(`${http.url}/healthz`)).status).toBe(200);
    const ready = await fetch(`${http.url}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([
      200,
      { status: 'ready', checks: [{ name: 'nats', ok: true, detail: 'a sentence' }] },
    ]);
    ok = false;
    expect((await fetch(`${http.url}/readyz`)).status).toBe(503);
    expect(await (await fetch(`${http.url}/metrics`)).text()).toBe('millrace_up 1\n');
    const error = await refusal(startHttp({ port: http.port, health: async () => [], metrics: async () => '' }));
    expect([error.code, error.message]).toEqual(['MR_PORT_IN_USE', `port ${http.port} on 127.0.0.1 is in use`]);
    await http.close();
  });
});
