/** Whether Prefect knows the deployments that steps name. The server here speaks HTTP, and is ours. */
import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MillraceError } from '../../../src/kernel/index.ts';
import { checkDeployments, type Deployments, deploymentsOverHttp } from '../../../src/manifests/index.ts';
import { check, HEAD } from './kit.ts';

const { definitions } = check(`${HEAD}  steps:
    - {name: a, run: {prefect: my flow/main}, timeout: 1s}
    - {name: b, run: {prefect: gone/main}, timeout: 1s}
    - {name: c, run: {prefect: gone/main}, timeout: 1s}
    - {name: d, run: {worker: h}}
`);

describe('checkDeployments', () => {
  test('warns of each step whose deployment is missing, and asks for each name once', async () => {
    const asked: string[] = [];
    const deployments: Deployments = {
      exists: async (name) => {
        asked.push(name);
        return name === 'my flow/main';
      },
    };
    const problems = await checkDeployments(definitions, deployments);
    expect(problems.map(({ severity, code, place }) => [severity, code, place.path])).toEqual([
      ['warning', 'MR_DEPLOYMENT_MISSING', 'w.b'],
      ['warning', 'MR_DEPLOYMENT_MISSING', 'w.c'],
    ]);
    expect(asked).toEqual(['my flow/main', 'gone/main']);
  });

  test('says once that Prefect does not answer', async () => {
    const deployments: Deployments = {
      exists: () => Promise.reject(new MillraceError('MR_PREFECT_UNREACHABLE', 'no answer', { hint: 'start it' })),
    };
    expect(await checkDeployments(definitions, deployments)).toEqual([
      {
        severity: 'warning',
        code: 'MR_PREFECT_UNREACHABLE',
        rule: 'deployment-unchecked',
        message: 'no answer',
        hint: 'start it',
        place: {},
      },
    ]);
  });
});

describe('deploymentsOverHttp', () => {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.url} ${request.headers.authorization ?? '-'}`);
    if (request.url?.includes('broken')) response.statusCode = 500;
    else response.statusCode = request.url?.includes('gone') ? 404 : 200;
    response.end('{}');
  });
  let url = '';

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/api`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test('asks by name, with the key', async () => {
    const deployments = deploymentsOverHttp(`${url}/`, 'secret');
    expect(await deployments.exists('my flow/main')).toBe(true);
    expect(await deployments.exists('gone/main')).toBe(false);
    expect(requests).toEqual([
      '/api/deployments/name/my%20flow/main Bearer secret',
      '/api/deployments/name/gone/main Bearer secret',
    ]);
  });

  test('an answer that is neither is an error of Prefect', async () => {
    await expect(deploymentsOverHttp(url).exists('broken/main')).rejects.toMatchObject({ code: 'MR_PREFECT' });
  });

  test('no answer is an unreachable Prefect', async () => {
    await expect(deploymentsOverHttp('http://127.0.0.1:1/api').exists('a/b')).rejects.toMatchObject({
      code: 'MR_PREFECT_UNREACHABLE',
      next: 'retry',
    });
  });
});
