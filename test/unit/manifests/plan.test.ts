/** The plan, given what should be and what is. Numbers in the names are the invariants of src/manifests/plan.ts. */
import { describe, expect, test } from 'vitest';
import type { Json, JsonObject } from '../../../src/kernel/index.ts';
import {
  type Action,
  type Desired,
  desiredState,
  fingerprintOf,
  formatPlan,
  formatPlanFile,
  type Live,
  type Plan,
  parsePlanFile,
  planChanges,
} from '../../../src/manifests/index.ts';
import { check } from './kit.ts';

const TEXT = `apiVersion: millrace/v1
kind: Stream
metadata: {name: S}
spec: {subjects: [a.*, b], maxAge: 7d}
---
apiVersion: millrace/v1
kind: Workflow
metadata: {name: w}
spec:
  triggers: [{name: t, stream: S, subject: a.*}]
  steps: [{name: one, run: {worker: h}, timeout: 5s}]
`;
const EMPTY: Live = { clustered: false, streams: {}, consumers: {}, bucket: false, definitions: {} };

function desired(text = TEXT): Desired {
  const checked = check(text);
  expect(checked.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  return desiredState(checked);
}

const json = (value: unknown): JsonObject => JSON.parse(JSON.stringify(value)) as Record<string, Json>;

/** The live state in which a desired one has just been applied, with what a server adds of its own. */
function applied(state: Desired): Live {
  return {
    clustered: false,
    streams: Object.fromEntries(
      state.streams.map((stream) => [
        stream.name,
        json({ ...stream, metadata: { '_nats.ver': '2.15.2', ...stream.metadata }, max_msgs: -1, sealed: false }),
      ]),
    ),
    consumers: Object.fromEntries(
      state.consumers.map((consumer) => [
        `${consumer.stream}/${consumer.durable_name}`,
        json({ ...consumer, replay_policy: 'instant' }),
      ]),
    ),
    bucket: true,
    definitions: Object.fromEntries(state.definitions.map((definition) => [definition.name, definition])),
  };
}

const withStream = (live: Live, name: string, change: object): Live => ({
  ...live,
  streams: { ...live.streams, [name]: json({ ...live.streams[name], ...change }) },
});

const lines = (plan: Plan): readonly string[] => plan.actions.map(({ kind, name }) => `${kind} ${name}`);
const rules = (plan: Plan): readonly string[] =>
  plan.problems.map(({ severity, code, rule, place }) => `${severity} ${code} ${rule} ${place.path}`);

describe('an empty server', () => {
  test('P5 gets streams, then consumers, the bucket, and definitions last', () => {
    const plan = planChanges(desired(), EMPTY);
    expect(lines(plan)).toEqual([
      'create-stream MR_TASKS',
      'create-stream MR_FLOWS',
      'create-stream MR_TIMERS',
      'create-stream MR_ASKS',
      'create-stream MR_LIMITS',
      'create-stream MR_EVENTS',
      'create-stream MR_DEAD',
      'create-stream MR_ADVISORIES',
      'create-stream MR_SCHEDULES',
      'create-stream S',
      'create-stream WF_w',
      'create-consumer MR_TIMERS/timers',
      'create-consumer MR_SCHEDULES/schedules',
      'create-consumer MR_ASKS/limits',
      'create-consumer MR_ADVISORIES/advisories',
      'create-consumer WF_w/controller',
      'create-consumer S/TRIG_w_t',
      'create-bucket millrace_definitions',
      'put-definition w',
    ]);
    expect([plan.problems, plan.drift]).toEqual([[], []]);
  });
});

describe('a server that is as desired', () => {
  test('P2 gets no actions, whatever the server adds of its own', () => {
    const state = desired();
    expect(planChanges(state, applied(state))).toMatchObject({ actions: [], drift: [], problems: [] });
    expect(formatPlan(planChanges(state, applied(state)))).toBe('No changes: the live system is as described.');
  });

  test('P2 does not mind the order of subjects', () => {
    const state = desired();
    const live = withStream(applied(state), 'S', { subjects: ['b', 'a.*'] });
    expect(planChanges(state, live).actions).toEqual([]);
  });
});

describe('changes', () => {
  test('say field by field what changes', () => {
    const before = applied(desired());
    const after = desired(TEXT.replace('[a.*, b], maxAge: 7d', '[a.*, b, c]').replace('timeout: 5s', 'timeout: 6s'));
    const plan = planChanges(after, before);
    expect(plan.actions.map(({ kind, name, diff }) => ({ kind, name, diff }))).toEqual([
      {
        kind: 'update-stream',
        name: 'S',
        diff: [
          { field: 'subjects', from: ['a.*', 'b'], to: ['a.*', 'b', 'c'] },
          { field: 'max_age', from: 604_800e9, to: 0 },
        ],
      },
      {
        kind: 'put-definition',
        name: 'w',
        diff: [
          { field: 'digest', from: before.definitions['w']?.digest, to: after.definitions[0]?.digest },
          { field: 'steps.one.timeoutMs', from: 5_000, to: 6_000 },
        ],
      },
    ]);
    expect(formatPlan(plan).split('\n').slice(0, 4)).toEqual([
      '  ~ stream   S',
      '      subjects: ["a.*","b"] → ["a.*","b","c"]',
      '      max_age: 7d → for ever',
      '  ~ workflow w',
    ]);
  });

  test('keep metadata that others have put on a stream', () => {
    const state = desired();
    const live = withStream(applied(state), 'S', { description: 'x', metadata: { owner: 'us' } });
    const [action] = planChanges(state, live).actions;
    expect(action?.kind === 'update-stream' && action.config.metadata).toEqual({
      owner: 'us',
      'millrace.managed': 'manifest',
    });
  });

  test('of a consumer are updates', () => {
    const before = applied(desired());
    const plan = planChanges(desired(TEXT.replace('subject: a.*', 'subject: a.b')), before);
    expect(lines(plan)).toEqual(['update-consumer S/TRIG_w_t', 'put-definition w']);
    expect(plan.actions[0]?.diff).toEqual([{ field: 'filter_subject', from: 'a.*', to: 'a.b' }]);
  });

  test('replace a definition that cannot be read', () => {
    const state = desired();
    const plan = planChanges(state, { ...applied(state), definitions: { w: null } });
    expect(plan.actions.map(({ kind, diff }) => [kind, diff])).toEqual([
      ['put-definition', [{ field: 'digest', from: 'unreadable', to: state.definitions[0]?.digest }]],
    ]);
  });
});

describe('P3 what the server cannot change is a problem', () => {
  test.each([
    ['storage', { storage: 'memory' }],
    ['retention', { retention: 'workqueue' }],
  ])('%s', (field, change) => {
    const state = desired();
    const plan = planChanges(state, withStream(applied(state), 'S', change));
    expect(rules(plan)).toEqual([`error MR_PLAN_IMPOSSIBLE impossible-change streams.S.${field}`]);
    expect(plan.problems[0]?.hint).toContain('nats stream rm S');
  });

  test('but limits may become interest and back', () => {
    const state = desired();
    const plan = planChanges(state, withStream(applied(state), 'S', { retention: 'interest' }));
    expect([lines(plan), rules(plan)]).toEqual([['update-stream S'], []]);
  });

  test('message schedules that should go away', () => {
    const state = desired();
    const streams = state.streams.map((s) => (s.name === 'MR_TIMERS' ? { ...s, allow_msg_schedules: false } : s));
    expect(rules(planChanges({ ...state, streams }, applied(state)))).toEqual([
      'error MR_PLAN_IMPOSSIBLE impossible-change streams.MR_TIMERS.allow_msg_schedules',
    ]);
  });

  test('the acknowledgement policy of a consumer somebody else made', () => {
    const state = desired();
    const live = applied(state);
    const consumers = { ...live.consumers, 'S/TRIG_w_t': { ...live.consumers['S/TRIG_w_t'], ack_policy: 'none' } };
    expect(rules(planChanges(state, { ...live, consumers }))).toEqual([
      'error MR_PLAN_IMPOSSIBLE impossible-change consumers.S/TRIG_w_t.ack_policy',
    ]);
  });

  test('replicas on a server without a cluster; in a cluster they are fine', () => {
    const state = desired(TEXT.replace('maxAge: 7d', 'replicas: 3'));
    expect(rules(planChanges(state, EMPTY))).toEqual(['error MR_PLAN_IMPOSSIBLE replicas streams.S.num_replicas']);
    expect(rules(planChanges(state, { ...EMPTY, clustered: true }))).toEqual([]);
  });

  test('subjects that another stream on the server stores', () => {
    const live = { ...EMPTY, streams: { OTHER: { subjects: ['a.>'] } } };
    expect(rules(planChanges(desired(), live))).toEqual([
      'error MR_PLAN_IMPOSSIBLE subject-conflict streams.S.subjects',
    ]);
  });

  test('a trigger on a stream that does not exist; one that exists without a manifest is fine', () => {
    const state = desired(TEXT.replace('stream: S', 'stream: OTHER').replace('subject: a.*', 'subject: x'));
    expect(rules(planChanges(state, EMPTY))).toEqual([
      'error MR_PLAN_IMPOSSIBLE missing-stream consumers.OTHER/TRIG_w_t',
    ]);
    const live = { ...EMPTY, streams: { OTHER: { subjects: ['x'] } } };
    expect(rules(planChanges(state, live))).toEqual([]);
  });
});

describe('changes that cost messages are warned of', () => {
  test.each([
    ['max_age', TEXT.replace('7d', '1d')],
    ['max_bytes', TEXT.replace('maxAge: 7d', 'maxAge: 7d, maxBytes: 1MiB')],
    ['subjects', TEXT.replace('[a.*, b]', '[a.*]')],
  ])('%s', (field, text) => {
    expect(rules(planChanges(desired(text), applied(desired())))).toEqual([
      `warning MR_PLAN_DATA_LOSS data-loss streams.S.${field}`,
    ]);
  });

  test('and those that do not are not', () => {
    const wider = TEXT.replace('[a.*, b]', '[a.>, b]').replace('7d', '8d');
    expect(rules(planChanges(desired(wider), applied(desired())))).toEqual([]);
  });
});

describe('P4 what is live but in no manifest', () => {
  const state = desired();
  const none = desiredState({ streams: [], definitions: [] });

  test('is told, and nothing is done', () => {
    const plan = planChanges(none, applied(state));
    expect(plan.actions).toEqual([]);
    expect(plan.drift.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'stream S',
      'stream WF_w',
      'consumer S/TRIG_w_t',
      'definition w',
    ]);
  });

  test('with prune: triggers and definitions go, streams stay', () => {
    expect(lines(planChanges(none, applied(state), { prune: true }))).toEqual([
      'remove-definition w',
      'delete-consumer S/TRIG_w_t',
    ]);
  });

  test('a durable function is of its workers: neither told nor pruned', () => {
    const live = applied(state);
    const found = live.definitions['w'];
    const code = {
      ...live,
      definitions: { w: found === undefined || found === null ? null : { ...found, code: true } },
    };
    const plan = planChanges(none, code, { prune: true });
    expect(plan.drift.map(({ kind, name }) => `${kind} ${name}`)).toEqual(['stream S']);
    expect(plan.actions).toEqual([]);
  });

  test('a described one keeps what its workers made; a trigger taken from the manifest is told, and pruned', () => {
    const text = (triggers: string): string => `apiVersion: millrace/v1
kind: Stream
metadata: {name: S}
spec: {subjects: [a.*, b]}
---
apiVersion: millrace/v1
kind: Function
metadata: {name: w}
spec: {triggers: [${triggers}]}
`;
    const both = desired(text('{name: t, stream: S, subject: a.*}, {name: u, stream: S, subject: b}'));
    expect(both.consumers.filter(({ stream }) => stream === 'WF_w')).toEqual([]);
    const live = applied(both);
    const served = { ...live, consumers: { ...live.consumers, 'WF_w/controller': json({ ack_wait: 1 }) } };
    expect(planChanges(both, served, { prune: true })).toMatchObject({ actions: [], drift: [], problems: [] });
    const one = desired(text('{name: t, stream: S, subject: a.*}'));
    expect(lines(planChanges(one, served, { prune: true }))).toEqual([
      'put-definition w',
      'delete-consumer S/TRIG_w_u',
    ]);
  });

  test('a name does not become the other kind', () => {
    const code = desired('apiVersion: millrace/v1\nkind: Function\nmetadata: {name: w}\nspec: {}\n');
    const [declared, served] = [desired(), applied(code)];
    const refused = ['error MR_PLAN_IMPOSSIBLE impossible-change workflows.w.kind'];
    expect(rules(planChanges(code, applied(declared)))).toEqual(refused);
    expect(rules(planChanges(declared, { ...served, streams: applied(declared).streams }))).toEqual(refused);
  });

  test('streams and consumers of others are none of our business', () => {
    const live = applied(state);
    const streams = { ...live.streams, THEIRS: { subjects: ['x'], metadata: { a: 'b' } } };
    expect(planChanges(state, { ...live, streams }).drift).toEqual([]);
  });
});

describe('the fingerprint', () => {
  test('depends on what plans depend on, and on nothing else', () => {
    const live = applied(desired());
    expect(fingerprintOf(withStream(live, 'S', { sealed: true, metadata: live.streams['S']?.['metadata'] }))).toBe(
      fingerprintOf(live),
    );
    const others = [
      withStream(live, 'S', { max_age: 1 }),
      withStream(live, 'NEW', { subjects: ['x'] }),
      { ...live, bucket: false },
      { ...live, consumers: {} },
      { ...live, definitions: {} },
    ];
    expect(new Set([live, ...others].map(fingerprintOf)).size).toBe(6);
  });
});

describe('a plan file', () => {
  const plan = planChanges(desired(), EMPTY);
  const file = formatPlanFile(plan);

  test('gives back the plan', () => expect(parsePlanFile(file, 'p.json')).toEqual(plan));

  test.each([
    ['that is no JSON', 'x'],
    ['that is something else', '{}'],
    ['that was changed by hand', file.replace('"num_replicas": 1', '"num_replicas": 3')],
    ['with an action nobody knows', file.replace('create-bucket', 'delete-stream')],
  ])('%s is refused', (_, text) => {
    expect(() => parsePlanFile(text, 'p.json')).toThrow(expect.objectContaining({ code: 'MR_USAGE' }));
  });

  test('has every kind of action in its schema', () => {
    const state = desired();
    const kinds = new Set<Action['kind']>();
    const changed = withStream(applied(state), 'S', { description: 'x' });
    const consumers = {
      ...changed.consumers,
      'WF_w/controller': { ...changed.consumers['WF_w/controller'], max_deliver: 2 },
    };
    const plans = [
      plan,
      planChanges(state, { ...changed, consumers }),
      planChanges(desiredState({ streams: [], definitions: [] }), applied(state), { prune: true }),
    ];
    for (const each of plans) {
      for (const { kind } of each.actions) kinds.add(kind);
      expect(parsePlanFile(formatPlanFile(each), 'p')).toEqual(each);
    }
    expect(kinds.size).toBe(8);
  });
});
