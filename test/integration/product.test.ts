/**
 * The whole product on real servers: a message becomes a run, one trace shows it, cancelling goes both ways, a missing
 * deployment is a readable failure.
 */
import { headers } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { connectNats, type NatsDoor } from '../../src/drivers/index.ts';
import { runIdOf } from '../../src/kernel/index.ts';
import { readTrace, type TraceSpan } from '../kit/jaeger.ts';
import { type System, startSystem } from '../kit/system.ts';
import { waitFor } from '../kit/wait.ts';

const PUBLISHER_TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PUBLISHER_SPAN = '00f067aa0ba902b7';

let system: System;
let door: NatsDoor;

beforeAll(async () => {
  system = await startSystem({
    manifests: ['test/integration/product/manifests'],
    worker: 'test/integration/product/worker.ts',
    flows: 'test/integration/product/flows',
    jaeger: true,
  });
  door = await connectNats({ url: system.nats.url, name: 'product-test' });
});

afterAll(async () => {
  await door?.close();
  await system?.stop();
});

/** Publishes an order and gives the run it starts. */
async function order(name: string, seconds: number, traceparent?: string): Promise<string> {
  const h = headers();
  if (traceparent !== undefined) h.set('traceparent', traceparent);
  const ack = await door.js.publish('product.order', JSON.stringify({ order: name, seconds }), { headers: h });
  return runIdOf('product', 'order', 'PRODUCT', ack.seq);
}

/** Waits for an event of the run (`started`, `completed`, …) or of one of its steps. Replays what was missed. */
async function event(subject: string): Promise<unknown> {
  const consumer = await door.js.consumers.get('MR_EVENTS', { filter_subjects: subject });
  const message = await consumer.next({ expires: 60_000 });
  if (message === null) throw new Error(`no event came on ${subject}`);
  return message.json();
}

const runSchema = z.object({
  status: z.string(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  steps: z.array(z.object({ name: z.string(), status: z.string(), attempt: z.number() })),
});

async function show(runId: string): Promise<z.infer<typeof runSchema>> {
  const { code, stdout, stderr } = await system.cli('runs', 'show', runId, '--json');
  if (code !== 0) throw new Error(`runs show failed: ${stdout}${stderr}`);
  return runSchema.parse(JSON.parse(stdout));
}

const flowRunSchema = z.object({ id: z.string(), state: z.object({ type: z.string() }) });

/** The run's flow runs, straight from Prefect. */
async function flowRuns(runId: string): Promise<z.infer<typeof flowRunSchema>[]> {
  const response = await fetch(`${system.prefect.url}/flow_runs/filter`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ flow_runs: { tags: { all_: [`run:${runId}`] } } }),
  });
  return z.array(flowRunSchema).parse(await response.json());
}

async function flowRunState(runId: string, wanted: string): Promise<void> {
  await waitFor(
    `the flow runs of ${runId} to be ${wanted}`,
    async () => {
      const states = (await flowRuns(runId)).map((run) => run.state.type);
      return states.length > 0 && states.every((state) => state === wanted);
    },
    60_000,
  );
}

describe('one run, one trace', () => {
  test('each span has the parent it should have, from the publisher to the tasks of the flow', async () => {
    const runId = await order('flaky', 0, `00-${PUBLISHER_TRACE}-${PUBLISHER_SPAN}-01`);
    await event(`evt.run.product.${runId}.completed`);
    const expected: Record<string, string> = {
      'trigger product': 'the publisher',
      'run product': 'trigger product',
      'step check': 'run product',
      'worker product.check': 'step check',
      'step work': 'run product',
      'reconcile work': 'step work',
      'the flow run': 'step work',
      prepare: 'the flow run',
      work: 'the flow run',
      'step store': 'run product',
      'worker product.store': 'step store',
    };
    const names = (spans: readonly TraceSpan[]): string[] => [...new Set(spans.map(nameOf))].sort();
    const wanted = Object.keys(expected).sort();
    const spans = await readTrace(
      system.jaeger?.url ?? '',
      PUBLISHER_TRACE,
      (all) =>
        wanted.every((name) => names(all).includes(name)) && all.filter((s) => s.name === 'step check').length === 2,
    );
    expect(names(spans)).toEqual(wanted);
    const byId = new Map(spans.map((span) => [span.id, span]));
    const parents = spans.map((span) => {
      const parent = span.parent === undefined ? undefined : byId.get(span.parent);
      const name =
        parent === undefined ? (span.parent === PUBLISHER_SPAN ? 'the publisher' : 'nobody') : nameOf(parent);
      return [nameOf(span), name] as const;
    });
    expect(parents.filter(([name, parent]) => expected[name] !== parent)).toEqual([]);
    // Two attempts of the step that fails once: two spans, each with its own worker span.
    expect(spans.filter((span) => span.name === 'step check')).toHaveLength(2);
    const checks = spans.filter((span) => span.name === 'worker product.check');
    expect(checks).toHaveLength(2);
    expect(new Set(checks.map((span) => span.parent)).size).toBe(2);
    expect(new Set(spans.map((span) => span.service))).toEqual(
      new Set(['millrace-controller', 'millrace-worker', 'millrace-flow-host']),
    );
  });
});

/** A flow's span is named after its flow run, which carries our run's id; Prefect adds a random suffix to a task run's name. */
function nameOf(span: TraceSpan): string {
  if (/^[0-9a-z]{16}-work-1$/.test(span.name)) return 'the flow run';
  return span.name.replace(/-[0-9a-f]{3}$/, '');
}

describe('cancelling', () => {
  test('a cancelled run cancels its flow run', async () => {
    const runId = await order('slow', 60);
    await event(`evt.flow.product.${runId}.work.RUNNING`);
    const { code, stderr } = await system.cli('runs', 'cancel', runId, '--reason', 'the test says so');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    await event(`evt.run.product.${runId}.cancelled`);
    await flowRunState(runId, 'CANCELLED');
    expect((await show(runId)).status).toBe('cancelled');
  });

  test('a flow run cancelled in Prefect cancels its run', async () => {
    const runId = await order('slow', 60);
    await event(`evt.flow.product.${runId}.work.RUNNING`);
    const [flowRun] = await flowRuns(runId);
    const response = await fetch(`${system.prefect.url}/flow_runs/${flowRun?.id}/set_state`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ state: { type: 'CANCELLING', name: 'Cancelling', message: 'by hand' }, force: false }),
    });
    expect(response.status).toBeLessThan(300);
    await event(`evt.run.product.${runId}.cancelled`);
    await flowRunState(runId, 'CANCELLED');
    expect((await show(runId)).steps.map(({ name, status }) => [name, status])).toEqual([
      ['check', 'completed'],
      ['work', 'cancelled'],
      ['store', 'pending'],
    ]);
  });
});

describe('a missing deployment', () => {
  test('fails the run with a reason that says what to do', async () => {
    const started = await system.cli('runs', 'start', 'homeless', '--payload', '{}', '--json');
    expect(started.stderr).toBe('');
    const { runId } = z.object({ runId: z.string() }).parse(JSON.parse(started.stdout));
    await event(`evt.run.homeless.${runId}.failed`);
    const run = await show(runId);
    expect(run.status).toBe('failed');
    expect(run.error?.code).toBe('MR_DEPLOYMENT_MISSING');
    expect(run.error?.message).toContain('nobody/knows-me');
  });
});
