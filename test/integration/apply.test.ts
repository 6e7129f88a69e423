/** Plan and apply against a real server. Numbers are the invariants of apply.nats.ts (A), plan.ts (P), definitions.nats.ts (D). */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connectNats, type NatsDoor } from '../../src/drivers/index.ts';
import { systemAssets } from '../../src/engine/index.ts';
import { DEFINITIONS_BUCKET } from '../../src/kernel/index.ts';
import {
  type Action,
  applyPlan,
  ensureAssets,
  observe,
  openDefinitions,
  type Plan,
  preparePlan,
  readManifests,
  type SourceFile,
  sealDefinition,
} from '../../src/manifests/index.ts';
import { Collector, type NatsKit, withNats } from '../kit/index.ts';

let kit: NatsKit;
let door: NatsDoor;
let demo: readonly SourceFile[];

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  demo = await readManifests(['streams']);
});
afterAll(() => kit.stop());

beforeEach(async () => {
  for await (const name of door.jsm.streams.names()) await door.jsm.streams.delete(name);
});

async function planned(sources = demo, options: { readonly prune?: boolean } = {}): Promise<Plan> {
  const { checked, plan } = await preparePlan(door.nc, sources, options);
  expect(checked.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  if (plan === undefined) throw new Error('no plan');
  return plan;
}

const apply = async (sources = demo, options: { readonly prune?: boolean } = {}): Promise<readonly Action[]> =>
  applyPlan(door.nc, await planned(sources, options));

const changed = (file: string, from: string, to: string): readonly SourceFile[] =>
  demo.map((source) => (source.file.endsWith(file) ? { ...source, text: source.text.replace(from, to) } : source));

const lines = (actions: readonly Action[]): readonly string[] => actions.map(({ kind, name }) => `${kind} ${name}`);

describe('apply', () => {
  test('creates everything, and the second time changes nothing (P2)', async () => {
    const first = await apply();
    expect(first).toHaveLength(25);
    expect(lines(first).slice(-3)).toEqual([
      `create-bucket ${DEFINITIONS_BUCKET}`,
      'put-definition delay-report',
      'put-definition quake-alert',
    ]);
    const before = await observe(door.nc);
    expect(await apply()).toEqual([]);
    expect(await observe(door.nc)).toEqual(before);
  });

  test('gives the server what the manifest says', async () => {
    await apply();
    const { config } = await door.jsm.streams.info('FLIGHTS');
    expect(config).toMatchObject({
      subjects: ['flights.day.*'],
      retention: 'limits',
      storage: 'file',
      discard: 'old',
      num_replicas: 1,
      max_age: 7 * 86_400e9,
      max_bytes: 512 * 1024 ** 2,
      duplicate_window: 600e9,
    });
    expect(config.metadata).toMatchObject({ 'millrace.managed': 'manifest', 'millrace.label/team': 'data' });
    const trigger = await door.jsm.consumers.info('QUAKES', 'TRIG_quake-alert_reported');
    expect(trigger.config).toMatchObject({
      filter_subject: 'quakes.reported',
      ack_policy: 'explicit',
      max_deliver: 20,
    });
  });

  test('changes what has changed, and keeps messages', async () => {
    await apply();
    await door.js.publish('flights.day.2001-01-10', '{}');
    const next = changed('flights.yaml', 'maxAge: 7d', 'maxAge: 14d');
    expect(lines(await apply(next))).toEqual(['update-stream FLIGHTS']);
    const { config, state } = await door.jsm.streams.info('FLIGHTS');
    expect([config.max_age, state.messages]).toEqual([14 * 86_400e9, 1]);
    expect(await apply(next)).toEqual([]);
  });

  test('changes the subject of a trigger without starting again from the first message', async () => {
    await apply();
    const next = changed('delay-report.yaml', 'subject: flights.day.*', 'subject: flights.day.2001-01-10');
    expect(lines(await apply(next))).toEqual([
      'update-consumer FLIGHTS/TRIG_delay-report_day',
      'put-definition delay-report',
    ]);
    const info = await door.jsm.consumers.info('FLIGHTS', 'TRIG_delay-report_day');
    expect(info.config.filter_subject).toBe('flights.day.2001-01-10');
  });

  test('repairs what somebody changed by hand', async () => {
    await apply();
    await door.jsm.streams.update('QUAKES', { max_age: 3_600e9, description: 'mine' });
    await door.jsm.consumers.delete('QUAKES', 'TRIG_quake-alert_reported');
    const plan = await planned();
    expect(lines(plan.actions)).toEqual(['update-stream QUAKES', 'create-consumer QUAKES/TRIG_quake-alert_reported']);
    expect(plan.actions[0]?.diff.map(({ field }) => field)).toEqual(['description', 'max_age']);
    await applyPlan(door.nc, plan);
    expect(await apply()).toEqual([]);
  });

  test('A3 a crash after any action is repaired by applying again', async () => {
    const { actions } = await planned();
    for (const crashAfter of actions.keys()) {
      for await (const name of door.jsm.streams.names()) await door.jsm.streams.delete(name);
      const crash = (_: Action, index: number): void => {
        if (index === crashAfter) throw new Error('crash');
      };
      await expect(applyPlan(door.nc, await planned(), { onAction: crash })).rejects.toThrow('crash');
      const rest = await apply();
      expect(lines(rest)).toEqual(lines(actions.slice(crashAfter + 1)));
      expect(await apply()).toEqual([]);
    }
  });

  test('A1 a stale plan is refused, and nothing is done', async () => {
    const plan = await planned();
    await door.jsm.streams.add({ name: 'OTHER', subjects: ['other'] });
    await expect(applyPlan(door.nc, plan)).rejects.toMatchObject({ code: 'MR_PLAN_STALE', next: 'conflict' });
    expect(Object.keys((await observe(door.nc)).streams)).toEqual(['OTHER']);
    expect(await apply()).toHaveLength(25);
  });

  test('A2 an impossible change is refused, and nothing is done', async () => {
    await apply();
    const next = changed('flights.yaml', 'maxAge: 7d', 'maxAge: 14d\n  storage: memory');
    const plan = await planned(next);
    await expect(applyPlan(door.nc, plan)).rejects.toMatchObject({
      code: 'MR_PLAN_IMPOSSIBLE',
      place: { path: 'streams.FLIGHTS.storage' },
    });
    expect(await apply()).toEqual([]);
  });

  test('P4 drift is told, and pruned only when asked', async () => {
    await apply();
    const fewer = demo.filter(({ file }) => !file.includes('quake'));
    const plan = await planned(fewer);
    expect(plan.actions).toEqual([]);
    expect(plan.drift.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'stream QUAKES',
      'stream WF_quake-alert',
      'consumer QUAKES/TRIG_quake-alert_reported',
      'definition quake-alert',
    ]);
    expect(lines(await apply(fewer, { prune: true }))).toEqual([
      'remove-definition quake-alert',
      'delete-consumer QUAKES/TRIG_quake-alert_reported',
    ]);
    expect(Object.keys((await observe(door.nc)).streams)).toContain('QUAKES');
    expect((await planned(fewer, { prune: true })).actions).toEqual([]);
  });

  test('takes the subjects of a live stream into account', async () => {
    await door.jsm.streams.add({ name: 'THEIRS', subjects: ['flights.>'] });
    expect((await planned()).problems.map(({ rule }) => rule)).toEqual(['subject-conflict']);
  });
});

describe('definitions', () => {
  const one = sealDefinition({ name: 'w', deadLetter: true, steps: [], triggers: [] });
  const two = sealDefinition({ name: 'w', deadLetter: false, steps: [], triggers: [] });

  test('D4 no bucket reads as no definitions, but cannot be watched', async () => {
    const store = await openDefinitions(door.nc);
    expect([await store.list(), await store.current('w'), await store.byDigest('w', one.digest)]).toEqual([
      [],
      undefined,
      undefined,
    ]);
    await expect(store.watch(() => {})).rejects.toMatchObject({ code: 'MR_DEFINITION_MISSING' });
  });

  test('D1 every one is kept under its digest; the name points to the latest', async () => {
    await ensureAssets(door.nc, systemAssets());
    const store = await openDefinitions(door.nc);
    expect([await store.put(one), await store.put(one), await store.put(two)]).toEqual([true, false, true]);
    const other = await openDefinitions(door.nc);
    expect(await other.current('w')).toEqual(two);
    expect(await other.byDigest('w', one.digest)).toEqual(one);
    await store.remove('w');
    expect([await other.list(), await other.byDigest('w', two.digest)]).toEqual([[], two]);
  });

  test('a watch tells what is there, then what comes and goes', async () => {
    await ensureAssets(door.nc, systemAssets());
    const store = await openDefinitions(door.nc);
    await store.put(one);
    const seen = new Collector<string>();
    const watch = await store.watch((definition) => seen.add(definition.digest), {
      removed: (name) => seen.add(`-${name}`),
    });
    expect(seen.items).toEqual([one.digest]);
    await store.put(two);
    await store.remove('w');
    await seen.until('the removal', (items) => items.length >= 3);
    await watch.stop();
    expect(seen.items).toEqual([one.digest, two.digest, '-w']);
  });

  test('D3 one that was changed by hand is an error, and apply restores it', async () => {
    await apply();
    const kv = await new Kvm(door.nc).open(DEFINITIONS_BUCKET);
    const current = await kv.get('workflow.delay-report');
    await kv.put('workflow.delay-report', (current?.string() ?? '').replace('"deadLetter":true', '"deadLetter":false'));
    const store = await openDefinitions(door.nc);
    await expect(store.current('delay-report')).rejects.toMatchObject({ code: 'MR_JOURNAL_CORRUPT' });
    expect(lines(await apply())).toEqual(['put-definition delay-report']);
    expect((await store.current('delay-report'))?.deadLetter).toBe(true);
  });

  test('one under a false digest is never stored', async () => {
    await ensureAssets(door.nc, systemAssets());
    const store = await openDefinitions(door.nc);
    await expect(store.put({ ...one, digest: two.digest })).rejects.toMatchObject({ code: 'MR_JOURNAL_CORRUPT' });
    expect(await store.names()).toEqual([]);
  });
});

describe('ensureAssets', () => {
  test('creates what is missing and touches nothing else', async () => {
    await door.jsm.streams.add({ name: 'MR_EVENTS', subjects: ['evt.>'], max_age: 1e9 });
    const first = await ensureAssets(door.nc, systemAssets());
    expect(first.streams).toEqual([
      'MR_TASKS',
      'MR_FLOWS',
      'MR_TIMERS',
      'MR_ASKS',
      'MR_LIMITS',
      'MR_DEAD',
      'MR_ADVISORIES',
      'MR_SCHEDULES',
    ]);
    expect((await door.jsm.streams.info('MR_EVENTS')).config.max_age).toBe(1e9);
    expect(await ensureAssets(door.nc, systemAssets())).toEqual({ streams: [], consumers: [] });
  });

  test('two at once are fine', async () => {
    await Promise.all([ensureAssets(door.nc, systemAssets()), ensureAssets(door.nc, systemAssets())]);
    expect(await ensureAssets(door.nc, systemAssets())).toEqual({ streams: [], consumers: [] });
  });
});

describe('a server that is not there', () => {
  test('is MR_NATS_UNREACHABLE, at connecting and afterwards', async () => {
    await expect(connectNats({ url: 'nats://127.0.0.1:1', name: 't' })).rejects.toMatchObject({
      code: 'MR_NATS_UNREACHABLE',
    });
    const other = await withNats();
    try {
      const { nc } = await other.door();
      await nc.close();
      await expect(observe(nc)).rejects.toMatchObject({ code: 'MR_NATS_UNREACHABLE', next: 'retry' });
      await expect(ensureAssets(nc, systemAssets())).rejects.toMatchObject({ code: 'MR_NATS_UNREACHABLE' });
    } finally {
      await other.stop();
    }
  });
});

describe('the command line', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'millrace-apply-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  function millrace(
    args: readonly string[],
    url = kit.url,
  ): Promise<{ code: number | null; out: string; err: string }> {
    const child = spawn(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', ...args], {
      env: { ...process.env, MILLRACE_NATS_URL: url, MILLRACE_PREFECT_URL: '', NO_COLOR: '1' },
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, out, err }));
    });
  }

  test('plan --out, apply --plan, and the same plan again is stale', async () => {
    const file = join(dir, 'plan.json');
    expect(await millrace(['plan', '--out', file])).toMatchObject({ code: 0, err: '' });
    const first = await millrace(['apply', '--plan', file]);
    expect([first.code, first.out.trim().split('\n').at(-1)]).toEqual([0, 'Applied: 25 added, 0 changed, 0 removed.']);
    const second = await millrace(['apply', '--plan', file, '--json']);
    expect([second.code, JSON.parse(second.err)]).toMatchObject([1, { error: { code: 'MR_PLAN_STALE' } }]);
    const third = await millrace(['apply', '--json']);
    expect([third.code, JSON.parse(third.out)]).toEqual([0, { applied: [], drift: [], problems: [] }]);
  });

  test('bad manifests: exit code 1, the place, and nothing is applied', async () => {
    const file = join(dir, 'bad.yaml');
    await writeFile(
      file,
      'apiVersion: millrace/v1\nkind: Stream\nmetadata: {name: S}\nspec: {subjects: [a], age: 1}\n',
    );
    for (const command of ['validate', 'plan', 'apply']) {
      const ran = await millrace([command, file]);
      expect(ran.code).toBe(1);
      expect(ran.err).toContain(`${file}:4:23 spec.age\n  error: unknown field "age" in spec`);
    }
    const ran = await millrace(['validate', file, '--json']);
    expect([ran.code, JSON.parse(ran.out)]).toMatchObject([1, { ok: false, problems: [{ rule: 'unknown-field' }] }]);
    expect((await observe(door.nc)).streams).toEqual({});
  });

  test('an unreachable server: exit code 3 and what to do; a missing folder: 2', async () => {
    const unreachable = await millrace(['plan'], 'nats://127.0.0.1:1');
    expect(unreachable.code).toBe(3);
    expect(unreachable.err).toContain('MR_NATS_UNREACHABLE');
    expect((await millrace(['validate', join(dir, 'nope')])).code).toBe(2);
  });
});
