/** The Prefect client against a scripted server: what is asked, and what each answer becomes (P1 to P3). */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createPrefectClient, type PrefectApi } from '../../../src/bridge/index.ts';

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly raw?: boolean;
}

let server: Server;
let answers: (Answer | 'hang' | 'reset')[];
let asked: { method: string; url: string; authorization: string | undefined; body: unknown }[];
let client: PrefectApi;

const FLOW_RUN = {
  id: 'f1',
  name: 'r1-s-1',
  tags: ['millrace'],
  labels: { 'millrace.attempt': 1 },
  state: { type: 'RUNNING', name: 'Running', timestamp: '2026-01-01T00:00:00.123456Z', message: null, data: {} },
  something_new: true,
};

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

beforeEach(async () => {
  answers = [];
  asked = [];
  server = createServer(async (request, response) => {
    const text = await textOf(request);
    const { method = '', url = '' } = request;
    const { authorization } = request.headers;
    asked.push({ method, url, authorization, body: text === '' ? undefined : JSON.parse(text) });
    const answer = answers.shift() ?? { status: 500, body: { detail: 'nothing scripted' } };
    if (answer === 'hang') return;
    if (answer === 'reset') return request.socket.destroy();
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(answer.raw === true ? String(answer.body) : JSON.stringify(answer.body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  client = createPrefectClient({ url: `http://127.0.0.1:${port}/api/`, apiKey: 'secret', timeoutMs: 300 });
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

describe('what is asked', () => {
  test('a flow run is created SCHEDULED, under its idempotency key, with the bearer key', async () => {
    answers.push({ status: 201, body: FLOW_RUN });
    const run = await client.createFlowRun('d1', {
      name: 'r1-s-1',
      idempotencyKey: 'r1/s/1',
      labels: { a: 1 },
      tags: ['millrace'],
      parameters: { input: 1 },
    });
    expect(run.id).toBe('f1');
    expect(asked).toEqual([
      {
        method: 'POST',
        url: '/api/deployments/d1/create_flow_run',
        authorization: 'Bearer secret',
        body: {
          name: 'r1-s-1',
          idempotency_key: 'r1/s/1',
          labels: { a: 1 },
          tags: ['millrace'],
          parameters: { input: 1 },
          state: { type: 'SCHEDULED' },
        },
      },
    ]);
  });

  test('a deployment is asked for by both of its names, whatever they hold', async () => {
    answers.push({ status: 200, body: { id: 'd1', name: 'main' } });
    expect(await client.deploymentByName('my flow/main?x')).toEqual({ id: 'd1', name: 'main' });
    expect(asked[0]?.url).toBe('/api/deployments/name/my%20flow/main%3Fx');
  });

  test('a state is set with its transition id, by force only when asked', async () => {
    answers.push({
      status: 201,
      body: { status: 'ACCEPT', state: FLOW_RUN.state, details: { type: 'accept_details' } },
    });
    await client.setState('f1', { type: 'CRASHED', message: 'lost', transitionId: 't1' });
    expect(asked[0]?.body).toEqual({
      state: { type: 'CRASHED', message: 'lost', state_details: { transition_id: 't1' } },
      force: false,
    });
  });

  test('a filter goes on until a page is not full, and long lists of ids go in parts', async () => {
    const page = (count: number) => ({ status: 200, body: Array.from({ length: count }, () => FLOW_RUN) });
    answers.push(page(200), page(3));
    expect(await client.filterFlowRuns({ tags: ['millrace'], types: ['RUNNING'] })).toHaveLength(203);
    expect(asked.map(({ body }) => body)).toEqual(
      [0, 200].map((offset) => ({
        flow_runs: { tags: { all_: ['millrace'] }, state: { type: { any_: ['RUNNING'] } } },
        sort: 'ID_DESC',
        limit: 200,
        offset,
      })),
    );
    asked.length = 0;
    answers.push(page(0), page(0));
    await client.filterFlowRuns({ ids: Array.from({ length: 201 }, (_, i) => `f${i}`) });
    expect(asked).toHaveLength(2);
  });

  test('nothing is asked for no ids', async () => {
    expect(await client.filterFlowRuns({ ids: [] })).toEqual([]);
    expect(asked).toEqual([]);
  });
});

describe('what the answers become', () => {
  test.each(['ACCEPT', 'REJECT', 'ABORT', 'WAIT'] as const)(
    '%s of set_state is a result, not an error',
    async (status) => {
      answers.push({ status: 200, body: { status, state: null, details: { reason: 'because', delay_seconds: 3 } } });
      expect(await client.setState('f1', { type: 'CANCELLED', message: 'm' })).toEqual({
        status,
        reason: 'because',
        state: undefined,
      });
    },
  );

  test('what does not exist is undefined', async () => {
    const missing = { status: 404, body: { detail: 'not found' } };
    answers.push(missing, missing, missing);
    expect(await client.readFlowRun('f1')).toBeUndefined();
    expect(await client.deploymentByName('a/b')).toBeUndefined();
    expect(await client.setState('f1', { type: 'CANCELLED', message: 'm' })).toBeUndefined();
  });

  const request = { name: 'n', idempotencyKey: 'k', labels: {}, tags: [], parameters: {} };

  test('a deployment that is gone when the flow run is created has its own code', async () => {
    answers.push({ status: 404, body: { detail: 'Deployment not found' } });
    await expect(client.createFlowRun('d1', request)).rejects.toMatchObject({
      code: 'MR_DEPLOYMENT_MISSING',
      next: 'terminal',
    });
  });

  test.each([
    [401, 'MR_PREFECT_REFUSED', 'retry'],
    [403, 'MR_PREFECT_REFUSED', 'retry'],
    [409, 'MR_PREFECT_REFUSED', 'terminal'],
    [422, 'MR_PREFECT_REFUSED', 'terminal'],
    [408, 'MR_PREFECT', 'retry'],
    [429, 'MR_PREFECT', 'retry'],
    [500, 'MR_PREFECT', 'retry'],
    [503, 'MR_PREFECT', 'retry'],
  ])('%i is %s, %s', async (status, code, next) => {
    answers.push({ status, body: { detail: 'input: 5 is not a string' } });
    await expect(client.createFlowRun('d1', request)).rejects.toMatchObject({
      code,
      next,
      message: `Prefect answered ${status} to createFlowRun: input: 5 is not a string`,
    });
  });

  test('an answer that is not what the API promises is told with its beginning', async () => {
    answers.push({ status: 200, body: '<html>a proxy</html>', raw: true });
    await expect(client.readFlowRun('f1')).rejects.toMatchObject({
      code: 'MR_PREFECT',
      message: `Prefect's answer to readFlowRun is not what its API promises: "<html>a proxy</html>"`,
    });
    answers.push({ status: 200, body: { ...FLOW_RUN, state: { ...FLOW_RUN.state, type: 'DANCING' } } });
    await expect(client.readFlowRun('f1')).rejects.toMatchObject({ code: 'MR_PREFECT' });
  });

  test('no answer, a broken connection and no server are unreachable', async () => {
    answers.push('hang', 'reset');
    await expect(client.health()).rejects.toMatchObject({
      code: 'MR_PREFECT_UNREACHABLE',
      next: 'retry',
      message: expect.stringContaining('no answer in 300 ms'),
    });
    await expect(client.health()).rejects.toMatchObject({ code: 'MR_PREFECT_UNREACHABLE' });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await expect(client.version()).rejects.toMatchObject({ code: 'MR_PREFECT_UNREACHABLE' });
  });

  test('health and version', async () => {
    answers.push({ status: 200, body: true }, { status: 200, body: '3.8.8' });
    expect([await client.health(), await client.version()]).toEqual([true, '3.8.8']);
  });

  test('task runs', async () => {
    answers.push({
      status: 200,
      body: [{ id: 't1', name: 'load-0', state_type: 'COMPLETED', state_name: 'Completed' }],
    });
    expect(await client.readTaskRuns('f1')).toEqual([
      { id: 't1', name: 'load-0', state_type: 'COMPLETED', state_name: 'Completed' },
    ]);
    expect(asked[0]?.body).toMatchObject({ flow_runs: { id: { any_: ['f1'] } } });
  });
});
