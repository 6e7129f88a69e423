/** The rules of the real Prefect that the bridge, its diff and the fake Prefect of the unit tests rely on. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ServerHandle, startPrefect } from '../../ops/stack/index.ts';
import { createPrefectClient, type PrefectApi } from '../../src/bridge/index.ts';
import { transitionIdOf } from '../../src/bridge/prefect/index.ts';
import { createDeployment } from './bridge-kit.ts';

const FLOW = 'rules';
type Type = 'PENDING' | 'RUNNING' | 'COMPLETED' | 'CANCELLED' | 'CANCELLING';

let dir: string;
let server: ServerHandle;
let prefect: PrefectApi;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-rules-'));
  server = await startPrefect({ dir });
  prefect = createPrefectClient({ url: server.url });
  await createDeployment(server.url, FLOW, 'main');
});

afterAll(async () => {
  await server?.stop();
  await rm(dir, { recursive: true, force: true });
});

describe('the rules of Prefect that the bridge relies on', () => {
  const set = (id: string, type: Type) => prefect.setState(id, { type, message: 'by the test' });
  const create = async (name: string): Promise<string> => {
    const deployment = await prefect.deploymentByName(`${FLOW}/main`);
    const request = { name, idempotencyKey: `rules/${name}`, labels: {}, tags: [], parameters: {} };
    return (await prefect.createFlowRun(deployment?.id ?? '', request)).id;
  };
  const answer = async (id: string, type: Type) => {
    const result = await set(id, type);
    return `${result?.status} ${result?.state?.type ?? ''}`.trim();
  };

  test('an unclaimed flow run asked to cancel is cancelled; a claimed one waits for its host', async () => {
    const unclaimed = await create('unclaimed');
    expect(await answer(unclaimed, 'CANCELLING')).toBe('REJECT CANCELLED');
    const claimed = await create('claimed');
    expect(await answer(claimed, 'PENDING')).toBe('ACCEPT PENDING');
    expect(await answer(claimed, 'PENDING')).toMatch(/^ABORT/);
    expect(await answer(claimed, 'CANCELLING')).toBe('ACCEPT CANCELLING');
    expect(await answer(claimed, 'RUNNING')).toBe('REJECT CANCELLING');
    expect(await answer(claimed, 'CANCELLED')).toBe('ACCEPT CANCELLED');
  });

  test('a transition with the same id is made once', async () => {
    const id = await create('once');
    await set(id, 'RUNNING');
    const change = { type: 'CANCELLING' as const, message: 'm', transitionId: transitionIdOf(id, 'CANCELLING') };
    expect((await prefect.setState(id, change))?.status).toBe('ACCEPT');
    expect((await prefect.setState(id, change))?.status).toBe('REJECT');
  });

  test('CANCELLED does not keep a host from RUNNING: why an open flow run is only ever asked to be CANCELLING', async () => {
    const id = await create('cancelled');
    expect(await answer(id, 'PENDING')).toBe('ACCEPT PENDING');
    expect(await answer(id, 'CANCELLED')).toBe('ACCEPT CANCELLED');
    expect(await answer(id, 'PENDING')).toMatch(/^ABORT/);
    expect(await answer(id, 'RUNNING')).toBe('ACCEPT RUNNING');
  });

  test('only force takes a flow run from one end to CRASHED', async () => {
    const id = await create('crashed');
    await set(id, 'RUNNING');
    await set(id, 'COMPLETED');
    expect((await prefect.setState(id, { type: 'CRASHED', message: 'm' }))?.status).toBe('ABORT');
    expect((await prefect.setState(id, { type: 'CRASHED', message: 'm', force: true }))?.status).toBe('ACCEPT');
  });
});
