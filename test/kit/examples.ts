/** The examples as scenarios: how each is played, and what must come of it whatever strikes. */
import { approvalOf } from '../../examples/approval/approval.ts';
import { wordCountOf } from '../../examples/map-reduce/map-reduce.ts';
import { type Shop, shopSteps } from '../../examples/order-saga/steps.ts';
import { exportOf } from '../../examples/poll-job/poll-job.ts';
import { reportSteps } from '../../examples/prefect-step/steps.ts';
import { subscriptionOf } from '../../examples/subscription/subscription.ts';
import type { Scenario, TestEnvironment } from '../../src/testing/index.ts';

/** A scenario, and what it gives in peace. */
export interface Example {
  readonly scenario: Scenario;
  readonly gives: unknown;
}

/** What a play has done outside, made anew with its environment. */
function outside<T>(make: () => T): { now: T; anew(): T } {
  const held = {
    now: make(),
    anew(): T {
      held.now = make();
      return held.now;
    },
  };
  return held;
}

const emptyShop = (): Shop => ({ reservations: new Map(), payments: new Map(), parcels: new Map() });

function saga(order: string): Scenario {
  const shop = outside(emptyShop);
  return {
    environment: () => ({ manifests: ['examples/order-saga/workflow.yaml'], steps: shopSteps(shop.anew()) }),
    play: async (env) => {
      const run = await env.start('order-saga', { id: order, sku: 'lamp', count: 2, cents: 4_200 });
      const { status } = await run.ending();
      await env.settle();
      const { reservations, payments, parcels } = shop.now;
      return { status, reserved: reservations.size, paid: [...payments.values()], sent: [...parcels.values()] };
    },
  };
}

function approval(answer: (env: TestEnvironment) => Promise<void>, by: number | undefined): Scenario {
  const told = outside(() => new Map<string, string>());
  return {
    environment: () => {
      const letters = told.anew();
      return { workflows: [approvalOf((person, _text, key) => letters.set(key, person))] };
    },
    play: async (env) => {
      const run = await env.start('expense-approval', { id: 'e-1', cents: 990, approvers: ['ada', 'bob'] });
      await answer(env);
      if (by !== undefined) await run.signal('decision', { approved: true, by: `person ${by}` });
      return { result: await run.result(), told: [...told.now.values()] };
    },
  };
}

const TEXTS: Readonly<Record<string, string>> = { a: 'the wheel, the mill', b: 'the stream', c: 'a wheel' };

function wordCount(): Scenario {
  return {
    environment: () => ({ workflows: [wordCountOf(async (name) => TEXTS[name] ?? '')] }),
    play: async (env) => (await env.start('word-count', Object.keys(TEXTS))).result(),
  };
}

/** A job that has ended after an hour of the environment's time. */
function job(): Scenario {
  const jobs = outside(() => new Map<string, string>());
  let clock: () => number = () => 0;
  let submitted = 0;
  const service = {
    submit: async (query: string, key: string) => {
      if (!jobs.now.has(key)) submitted = clock();
      jobs.now.set(key, query);
      return key;
    },
    status: async () => (clock() - submitted < 3_600_000 ? { done: false } : { done: true, rows: 42 }),
  };
  return {
    environment: () => {
      jobs.anew();
      return { workflows: [exportOf(service)] };
    },
    play: async (env) => {
      clock = () => env.now;
      const run = await env.start('export-job', { query: 'select 42' });
      return { rows: await run.result(), jobs: [...jobs.now.values()] };
    },
  };
}

function subscription(): Scenario {
  const bills = outside(() => new Map<string, number>());
  return {
    environment: () => {
      const paid = bills.anew();
      return { workflows: [subscriptionOf((_customer, cents, key) => paid.set(key, cents))] };
    },
    play: async (env) => {
      const run = await env.start('subscription', { customer: 'c-1', cents: 500 }, { runId: 'c-1' });
      await env.advance('45 days');
      await run.signal('change', { cents: 700 });
      await env.advance('30 days');
      await run.signal('change', 'end');
      return { result: await run.result(), bills: [...bills.now.values()] };
    },
  };
}

function report(): Scenario {
  const said = outside(() => new Map<string, string>());
  return {
    environment: () => {
      const texts = said.anew();
      const steps = reportSteps((text, key) => texts.set(key, text));
      return { manifests: ['examples/prefect-step/workflow.yaml'], steps };
    },
    play: async (env) => {
      env.mock('delay-report/flights', ({ day }: { day: string }) => ({ rows: day.length }));
      const run = await env.start('daily-report', { day: '2026-01-31' });
      return { result: await run.result(), said: [...said.now.values()] };
    },
  };
}

/** Every example, by what its test is called. */
export const EXAMPLES: Readonly<Record<string, Example>> = {
  'order-saga: shipped': {
    scenario: saga('o-1'),
    gives: { status: 'completed', reserved: 1, paid: [4_200], sent: ['o-1'] },
  },
  'order-saga: undone': {
    scenario: saga('far-1'),
    gives: { status: 'failed', reserved: 0, paid: [], sent: [] },
  },
  'approval: decided by the first': {
    scenario: approval(async () => {}, 1),
    gives: { result: { approved: true, by: 'person 1' }, told: ['ada'] },
  },
  'approval: escalated': {
    scenario: approval((env) => env.advance('3 days'), 2),
    gives: { result: { approved: true, by: 'person 2' }, told: ['ada', 'bob'] },
  },
  'approval: nobody answers': {
    scenario: approval(async () => {}, undefined),
    gives: { result: { approved: false, by: 'nobody answered' }, told: ['ada', 'bob'] },
  },
  'map-reduce': { scenario: wordCount(), gives: { the: 3, wheel: 2, mill: 1, stream: 1, a: 1 } },
  'poll-job': { scenario: job(), gives: { rows: 42, jobs: ['select 42'] } },
  subscription: { scenario: subscription(), gives: { result: { months: 3 }, bills: [500, 500, 700] } },
  'prefect-step': {
    scenario: report(),
    gives: { result: { announce: '10 flights were late on 2026-01-31' }, said: ['10 flights were late on 2026-01-31'] },
  },
};
