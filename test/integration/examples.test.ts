/** Examples on a real server: one of each kind, as a user would run them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { approvalOf } from '../../examples/approval/approval.ts';
import { type Shop, shopSteps } from '../../examples/order-saga/steps.ts';
import { type ControllerService, startController } from '../../src/engine/index.ts';
import { client, type MillraceClient, worker } from '../../src/index.ts';
import { checkManifests, readManifests } from '../../src/manifests/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { type NatsKit, waitFor, withNats } from '../kit/index.ts';

let kit: NatsKit;
let controller: ControllerService;
let millrace: MillraceClient;
beforeAll(async () => {
  kit = await withNats();
  const { definitions } = checkManifests(await readManifests(['examples/order-saga/workflow.yaml']));
  const store = await kit.prepare(definitions);
  controller = await startController({ door: await kit.door(), definitions: store, telemetry: noTelemetry });
  millrace = await client({ url: kit.url });
});
afterAll(async () => {
  await millrace?.close();
  await controller?.stop();
  await kit?.stop();
});

describe('the order saga', () => {
  test('ships, or undoes what it did', async () => {
    const shop: Shop = { reservations: new Map(), payments: new Map(), parcels: new Map() };
    const running = await worker({ url: kit.url, steps: shopSteps(shop), handleSignals: false });
    const order = { sku: 'lamp', count: 1, cents: 900 };
    const good = await millrace.start('order-saga', { ...order, id: 'o-1' });
    expect(await good.result()).toEqual({ tracking: 'track-o-1' });
    const far = await millrace.start('order-saga', { ...order, id: 'far-1' });
    await expect(far.result()).rejects.toMatchObject({ ending: { status: 'failed' } });
    const { steps } = await far.state();
    expect([steps['undo:charge']?.status, steps['undo:reserve']?.status]).toEqual(['completed', 'completed']);
    expect([shop.reservations.size, shop.payments.size, [...shop.parcels.values()]]).toEqual([1, 1, ['o-1']]);
    await running.drain();
  });
});

describe('the approval', () => {
  test('goes on in another process after the first has gone', async () => {
    const told: string[] = [];
    const approval = approvalOf((person) => told.push(person));
    const serve = () => worker({ url: kit.url, workflows: [approval], handleSignals: false });
    const first = await serve();
    const run = await millrace.start(approval, { id: 'e-1', cents: 100, approvers: ['ada'] });
    await waitFor('the wait', async () => (await run.state().catch(() => undefined))?.suspended);
    await first.drain();
    const second = await serve();
    await run.signal('decision', { approved: true, by: 'ada' });
    expect(await run.result()).toEqual({ approved: true, by: 'ada' });
    expect(told).toEqual(['ada']);
    await second.drain();
  });
});
