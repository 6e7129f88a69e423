/** Messages that start durable functions: a manifest says which, controllers read them, workers have the code. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startController } from '../../src/engine/index.ts';
import { createClient, serveWorkflows, workflow } from '../../src/functions/index.ts';
import { CONTROLLER_CONSUMER, type Json, runIdOf, workflowStream } from '../../src/kernel/index.ts';
import { applyPlan, openDefinitions, preparePlan } from '../../src/manifests/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { Collector, type NatsKit, waitFor, withNats } from '../kit/index.ts';
import { readRuns } from '../kit/runs.ts';

const MANIFESTS = `apiVersion: millrace/v1
kind: Stream
metadata: {name: ORDERS}
spec: {subjects: [orders.>]}
---
apiVersion: millrace/v1
kind: Function
metadata: {name: order}
spec:
  triggers: [{name: placed, stream: ORDERS, subject: orders.placed, when: payload.n >= 0}]
`;
const SOURCES = [{ file: 'order.yaml', text: MANIFESTS }];
const COUNT = 100;

let kit: NatsKit;
beforeAll(async () => {
  kit = await withNats();
});
afterAll(() => kit?.stop());

test('a message is one run, with one of two controllers gone in the middle; workers may come before or after', async () => {
  const { nc, js, jsm } = await kit.door();
  const { plan, checked } = await preparePlan(nc, SOURCES);
  expect(checked.problems).toEqual([]);
  if (plan === undefined) throw new Error('no plan');
  await applyPlan(nc, plan);

  // The first messages come while nobody has the code.
  const definitions = await openDefinitions(nc);
  const [doomed, other] = [await kit.door('doomed'), await kit.door('other')];
  const controllers = await Promise.all(
    [doomed, other].map((door) => startController({ door, definitions, telemetry: noTelemetry })),
  );
  const publish = (n: number) => js.publish('orders.placed', JSON.stringify({ n }));
  const numbers = Array.from({ length: COUNT }, (_, n) => n);
  await publish(-1); // its condition is false
  const early = await Promise.all(numbers.slice(0, COUNT / 2).map(publish));

  const effects = new Collector<string>();
  const fn = workflow<{ n: number }, Json>('order', {}, async (ctx, { n }) =>
    ctx.step('take', () => {
      effects.add(ctx.runId);
      return n;
    }),
  );
  const serving = await serveWorkflows([fn], { nats: kit.url });
  const late = Promise.all(numbers.slice(COUNT / 2).map(publish));
  await effects.until('some runs', (items) => items.length >= 10);
  await doomed.nc.close();
  const client = await createClient({ nats: kit.url });
  const runIds = [...early, ...(await late)].map(({ seq }) => runIdOf('order', 'placed', 'ORDERS', seq));
  expect(await Promise.all(runIds.map((runId) => client.handle(fn, runId).result()))).toEqual(numbers);
  await waitFor('that every message is acknowledged', async () => {
    const { num_pending, num_ack_pending } = await jsm.consumers.info('ORDERS', 'TRIG_order_placed');
    return num_pending === 0 && num_ack_pending === 0;
  });
  expect([...new Set(effects.items)].sort()).toEqual([...runIds].sort());
  const logs = await readRuns(await kit.door(), 'order');
  const starts = logs.flatMap(({ runId, entries }) =>
    entries.flatMap(({ transitions }) => transitions.flatMap(({ type }) => (type === 'RunStarted' ? [runId] : []))),
  );
  expect(starts.sort()).toEqual([...runIds].sort());

  // What a client starts names another definition, and that can be found as well.
  const own = await client.start(fn, { n: 7 });
  expect(await own.result()).toBe(7);
  const [started] = (await readRuns(await kit.door(), 'order')).find(({ runId }) => runId === own.runId)?.entries ?? [];
  const first = started?.transitions[0];
  if (first?.type !== 'RunStarted') throw new Error('it did not start');
  expect(await definitions.byDigest('order', first.digest)).toMatchObject({ code: true, triggers: [] });

  // The inputs' consumer is the workers' own, and no plan wants to change or remove anything of theirs.
  expect((await jsm.consumers.info(workflowStream('order'), CONTROLLER_CONSUMER)).config.max_ack_pending).toBe(20_000);
  const again = (await preparePlan(nc, SOURCES, { prune: true })).plan;
  expect([again?.actions, again?.drift, again?.problems]).toEqual([[], [], []]);
  await client.close();
  await serving.drain();
  await Promise.all(controllers.map((controller) => controller.stop()));
});
