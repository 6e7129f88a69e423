/** Doctor on real servers: one that syncs always, one that does not, one that is not there. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type ServerHandle, startRedis } from '../../ops/stack/index.ts';
import { define, type NatsKit, withNats, workerStep } from '../kit/index.ts';
import { runCli } from '../kit/system.ts';

const reportSchema = z.object({
  ok: z.boolean(),
  findings: z.array(
    z.object({
      part: z.enum(['nats', 'streams', 'consumers', 'redis', 'prefect', 'telemetry']),
      level: z.enum(['ok', 'warn', 'fail']),
      found: z.string(),
      means: z.string().optional(),
      todo: z.string().optional(),
    }),
  ),
});

const flow = define('flow', [workerStep('load')]);
const viaPrefect = define('via-prefect', [
  { ...workerStep('compute'), action: { kind: 'prefect', deployment: 'a/b', pool: 'default' } },
]);

interface Report {
  readonly code: number;
  readonly ok: boolean;
  /** `level part: sentence` of what is not ok. */
  readonly troubles: readonly string[];
  readonly text: string;
}

async function doctor(env: Readonly<Record<string, string>>): Promise<Report> {
  const { code, stdout } = await runCli(['doctor', '--json'], env);
  const { ok, findings } = reportSchema.parse(JSON.parse(stdout));
  const troubles = findings.filter(({ level }) => level !== 'ok').map((f) => `${f.level} ${f.part}: ${f.found}`);
  return { code, ok, troubles, text: findings.map(({ found }) => found).join('\n') };
}

let always: NatsKit;
let lazy: NatsKit;
let redis: ServerHandle;
let dir: string;
const monitor = (kit: NatsKit): string => `http://127.0.0.1:${kit.server.ports['http']}`;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-doctor-'));
  always = await withNats();
  // The later line of the configuration wins.
  lazy = await withNats({ extraConf: 'jetstream { sync_interval: "2m" }' });
  redis = await startRedis({ dir });
  await always.prepare([flow]);
  await lazy.prepare([viaPrefect]);
});

afterAll(async () => {
  await always?.stop();
  await lazy?.stop();
  await redis?.stop();
  await rm(dir, { recursive: true, force: true });
});

describe('doctor', () => {
  test('sees a server that syncs always, and that nobody works yet', async () => {
    const report = await doctor({
      MILLRACE_NATS_URL: always.url,
      MILLRACE_NATS_MONITOR_URL: monitor(always),
      MILLRACE_REDIS_URL: redis.url,
    });
    expect(report.text).toContain('sync_interval is always');
    expect(report.text).toContain('all streams and consumers exist');
    expect(report.text).toContain('the clocks agree within a second');
    expect(report.text).toMatch(/Redis \d+\.\d+\.\d+, maxmemory-policy noeviction/);
    expect(report.troubles).toEqual([
      'warn consumers: nobody listens on WF_flow/controller (0 waiting, 0 under way)',
      'warn consumers: a worker for handler load on queue q has never been here',
    ]);
    expect([report.code, report.ok]).toEqual([0, true]);
  });

  test('says plainly that a server loses acknowledged messages in a power cut; a needed Prefect is missing', async () => {
    const report = await doctor({ MILLRACE_NATS_URL: lazy.url, MILLRACE_NATS_MONITOR_URL: monitor(lazy) });
    expect(report.troubles).toContain('warn nats: the server syncs its files every 2m00s');
    expect(report.troubles).toContain('fail prefect: not configured, but needed by via-prefect');
    expect([report.code, report.ok]).toEqual([1, false]);
  });

  test('says that it does not know without a monitoring address, or with another server’s', async () => {
    const unknown = await doctor({ MILLRACE_NATS_URL: always.url });
    expect(unknown.text).toContain('is not known: no monitoring address is set');
    const other = await doctor({ MILLRACE_NATS_URL: always.url, MILLRACE_NATS_MONITOR_URL: monitor(lazy) });
    expect(other.text).toContain(`${monitor(lazy)} belongs to another server`);
  });

  test('names every part that does not answer, and goes on', async () => {
    const gone = 'http://127.0.0.1:1';
    const report = await doctor({
      MILLRACE_NATS_URL: 'nats://127.0.0.1:1',
      MILLRACE_REDIS_URL: 'redis://127.0.0.1:1',
      MILLRACE_PREFECT_URL: `${gone}/api`,
      MILLRACE_OTLP_URL: gone,
      MILLRACE_JAEGER_URL: gone,
    });
    expect(report.code).toBe(1);
    expect(report.troubles.map((text) => text.split(':')[0])).toEqual([
      'fail nats',
      'fail redis',
      'fail prefect',
      'fail telemetry',
      'fail telemetry',
    ]);
  });

  test('sees a stream that is gone', async () => {
    const door = await always.door();
    await door.jsm.streams.delete('MR_TIMERS');
    const report = await doctor({ MILLRACE_NATS_URL: always.url, MILLRACE_NATS_MONITOR_URL: monitor(always) });
    expect(report.troubles).toContain('fail streams: of the system there is no MR_TIMERS, MR_TIMERS/timers');
    expect(report.code).toBe(1);
  });

  test('for people: parts, sentences, what to do, and the count', async () => {
    const { stdout } = await runCli(['doctor'], { MILLRACE_NATS_URL: always.url });
    expect(stdout).toMatch(/^nats\n {2}ok {4}nats-server \d/);
    expect(stdout).toContain('        to do: set MILLRACE_NATS_MONITOR_URL');
    expect(stdout).toMatch(/\n\d+ ok, \d+ warnings?, \d+ failures?\n$/);
  });
});
