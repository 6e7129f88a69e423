import { describe, expect, test } from 'vitest';
import type { ConsumerFact, NatsFacts, StreamFact } from '../../../src/cli/doctor/facts.ts';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import { judgeAssets, judgeConsumers, judgeServer } from '../../../src/cli/doctor/judge-nats.ts';
import { judgePrefect, judgeRedis, noPrefect } from '../../../src/cli/doctor/judge-parts.ts';
import { systemAssets, workflowAssets } from '../../../src/engine/index.ts';
import { define, workerStep } from '../../kit/index.ts';

const definition = define('w', [workerStep('load')]);

const streamOf = (name: string, more: Partial<StreamFact> = {}): StreamFact => ({
  ...{ name, replicas: 1, messages: 0, bytes: 0, lagging: [] },
  ...more,
});
const consumerOf = (stream: string, name: string, more: Partial<ConsumerFact> = {}): ConsumerFact => ({
  ...{ stream, name, pending: 0, ackPending: 0, maxAckPending: 1_000, redelivered: 0, waiting: 1 },
  ...more,
});

/** A system where all is well. */
function healthy(more: Partial<NatsFacts> = {}): NatsFacts {
  const assets = [systemAssets(), workflowAssets(definition)];
  return {
    url: 'nats://x',
    version: '2.15.2',
    name: 'n',
    rttMs: 1,
    maxPayload: 1,
    skewMs: 3,
    sync: { kind: 'always' },
    streams: assets.flatMap(({ streams }) => streams.map(({ name }) => streamOf(name))),
    consumers: [
      ...assets.flatMap(({ consumers }) =>
        consumers.map(({ stream, durable_name }) => consumerOf(stream, durable_name)),
      ),
      consumerOf('MR_TASKS', 'W_q_load'),
    ],
    definitions: [definition],
    ...more,
  };
}

const judge = (facts: NatsFacts): Finding[] => [...judgeServer(facts), ...judgeAssets(facts), ...judgeConsumers(facts)];
const troubles = (findings: readonly Finding[]) =>
  findings.filter(({ level }) => level !== 'ok').map(({ level, found }) => `${level} ${found}`);

describe('NATS', () => {
  test('all well: nothing but ok', () => expect(troubles(judge(healthy()))).toEqual([]));

  test.each<[string, Partial<NatsFacts>, string]>([
    ['a slow sync', { sync: { kind: 'every', ms: 120_000 } }, 'warn the server syncs its files every 2m00s'],
    [
      'an unknown sync',
      { sync: { kind: 'unknown', why: 'no monitoring address is set' } },
      'warn how the server syncs its files is not known: no monitoring address is set',
    ],
    ['a slow clock', { skewMs: -2_500 }, "warn the server's clock is 2.5s behind this machine's"],
    ['a wrong clock', { skewMs: 40_000 }, "fail the server's clock is 40.0s ahead of this machine's"],
    ['no workflow', { definitions: [] }, 'warn no workflow is applied'],
  ])('%s', (_, more, expected) => expect(troubles(judge(healthy(more)))).toEqual([expected]));

  test('a slow sync on three replicas is fine', () => {
    const { streams } = healthy();
    const facts = healthy({
      cluster: 'c',
      sync: { kind: 'every', ms: 120_000 },
      streams: streams.map((stream) => ({ ...stream, replicas: 3 })),
    });
    expect(troubles(judge(facts))).toEqual([]);
  });

  test('one replica in a cluster, a replica that lags, and dead letters', () => {
    const streams = healthy().streams.map((stream) => ({
      ...stream,
      lagging: stream.name === 'WF_w' ? ['n2'] : [],
      messages: stream.name === 'MR_DEAD' ? 2 : 0,
    }));
    expect(troubles(judge(healthy({ cluster: 'c', streams })))).toEqual([
      'warn 10 of 10 streams have one replica in a cluster',
      'warn replicas of WF_w are behind or away: n2',
      'warn 2 dead letters',
    ]);
  });

  test('a large stream without retention', () => {
    const streams = healthy().streams.map((stream) => ({ ...stream, bytes: stream.name === 'WF_w' ? 2.5e9 : 0 }));
    expect(troubles(judge(healthy({ streams })))).toEqual(['warn WF_w has 2.5 GB and workflow w no retention']);
    const definitions = healthy().definitions.map((one) => ({ ...one, retention: { completedMs: 1e9 } }));
    expect(troubles(judge(healthy({ streams, definitions })))).toEqual([]);
  });

  test('what was applied and is gone', () => {
    const { streams, consumers } = healthy();
    const facts = healthy({
      streams: streams.filter(({ name }) => name !== 'MR_TIMERS'),
      consumers: consumers.filter(({ stream }) => stream !== 'WF_w' && stream !== 'MR_TIMERS'),
    });
    expect(troubles(judge(facts))).toEqual([
      'fail of the system there is no MR_TIMERS, MR_TIMERS/timers',
      'fail of workflow w there is no WF_w/controller',
    ]);
  });

  test('nobody listens, a full consumer, one that is behind, a worker that never came', () => {
    const { consumers } = healthy();
    const changed = consumers.flatMap((consumer) => {
      if (consumer.name === 'controller') return [{ ...consumer, waiting: 0, pending: 5 }];
      if (consumer.name === 'timers') return [{ ...consumer, ackPending: 1_000 }];
      if (consumer.name === 'advisories') return [{ ...consumer, pending: 20_000 }];
      return consumer.name === 'W_q_load' ? [] : [consumer];
    });
    expect(troubles(judge(healthy({ consumers: changed }))).sort()).toEqual([
      'warn MR_ADVISORIES/advisories is behind: 20000 waiting, 0 under way',
      'warn MR_TIMERS/timers is full: 0 waiting, 1000 under way',
      'warn a worker for handler load on queue q has never been here',
      'warn nobody listens on WF_w/controller (5 waiting, 0 under way)',
    ]);
  });

  test('every trouble says what it means and what to do', () => {
    const facts = healthy({ sync: { kind: 'every', ms: 1 }, skewMs: 99_999, streams: [], consumers: [] });
    for (const { level, means, todo } of judge(facts)) {
      if (level === 'ok') continue;
      expect(means).toMatch(/\w{4}/);
      expect(todo).toMatch(/\w{4}/);
    }
  });
});

describe('the other parts', () => {
  test('Redis: old, evicting, right', () => {
    expect(troubles(judgeRedis({ version: '5.0.7', maxmemoryPolicy: 'noeviction' }))).toEqual([
      'fail Redis 5.0.7, maxmemory-policy noeviction',
    ]);
    expect(troubles(judgeRedis({ version: '7.0.15', maxmemoryPolicy: 'allkeys-lru' }))).toEqual([
      'warn Redis 7.0.15, maxmemory-policy allkeys-lru',
    ]);
    expect(troubles(judgeRedis({ version: '6.2.0', maxmemoryPolicy: 'noeviction' }))).toEqual([]);
  });

  test('Prefect: sick, old, without a deployment, right, needed and absent', () => {
    const facts = { url: 'http://p', version: '3.8.8', healthy: true, missing: [], deployments: 1 };
    expect(troubles(judgePrefect(facts))).toEqual([]);
    expect(troubles(judgePrefect({ ...facts, healthy: false }))).toEqual([
      'fail Prefect 3.8.8 at http://p says that it is not healthy',
    ]);
    expect(troubles(judgePrefect({ ...facts, version: '2.20.1' }))).toEqual(['warn Prefect 2.20.1 at http://p']);
    const missing = [{ workflow: 'w', step: 's', deployment: 'a/b' }];
    expect(troubles(judgePrefect({ ...facts, missing }))).toEqual(['fail there is no deployment a/b']);
    expect(noPrefect([]).level).toBe('ok');
    expect(noPrefect(['w'])).toMatchObject({ level: 'fail', found: 'not configured, but needed by w' });
  });
});
