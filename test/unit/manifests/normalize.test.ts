/** From YAML to definition and stream: defaults, units, order, digest. */
import { describe, expect, test } from 'vitest';
import { checkManifests, digestOf, readManifests } from '../../../src/manifests/index.ts';
import { check, HEAD, STREAM } from './kit.ts';

const RETRY = { maxAttempts: 3, initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.2, maxLost: 10 };

function definition(spec: string) {
  const checked = check(`${HEAD}${spec}`);
  expect(checked.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  return checked.definitions[0];
}

describe('a workflow', () => {
  test('gets its defaults, and nothing that was not written', () => {
    const { digest, ...rest } = definition('  steps: [{name: a, run: {worker: x.y}}]\n') ?? {};
    expect(rest).toEqual({
      name: 'w',
      deadLetter: true,
      triggers: [],
      steps: [{ name: 'a', needs: [], action: { kind: 'worker', handler: 'x.y', queue: 'default' }, retry: RETRY }],
    });
    expect(digest).toMatch(/^[0-9a-f]{16}$/);
  });

  test('retention in milliseconds, and only ages that can be kept', () => {
    const steps = '  steps: [{name: a, run: {worker: h}}]\n';
    const kept = (retention: string) => check(`${HEAD}  retention: ${retention}\n${steps}`);
    expect(kept('{completed: 7d, failed: 30d, keepLast: 10}').definitions[0]?.retention).toEqual({
      ...{ completedMs: 7 * 86_400_000, failedMs: 30 * 86_400_000, keepLast: 10 },
    });
    const rules = (retention: string) => kept(retention).problems.map(({ rule }) => rule);
    expect(rules('{completed: 2m}')).not.toContain('short-retention');
    expect(rules('{completed: 1m59s}')).toContain('short-retention');
    expect(rules('{keepLast: 10}')).toContain('idle-retention');
  });

  test('keeps every setting, in milliseconds', () => {
    const spec = `  timeout: 1h30m
  deadLetter: false
  triggers: [{name: t, stream: MR_DEAD, subject: dead.run.>, when: payload.n > 1, key: payload.id}]
  steps:
    - {name: a, run: {worker: h, queue: q}, with: {n: payload.n}, timeout: 5s, when: payload.n > 2}
    - {name: b, needs: [a], run: {prefect: my flow/d, pool: p}, timeout: 1.5s, retry: {maxAttempts: 1, initial: 0s, max: 0s}}
    - {name: c, needs: [b], sleep: 250ms}
    - {name: d, needs: [c], waitForSignal: {name: s, timeout: 1m, onTimeout: continue}}
    - {name: e, needs: [d], waitForSignal: {name: s}}
`;
    expect(definition(spec)).toMatchObject({
      timeoutMs: 5_400_000,
      deadLetter: false,
      triggers: [{ name: 't', stream: 'MR_DEAD', subject: 'dead.run.>', when: 'payload.n > 1', key: 'payload.id' }],
      steps: [
        { name: 'a', when: 'payload.n > 2', with: { n: 'payload.n' }, timeoutMs: 5_000 },
        {
          name: 'b',
          action: { kind: 'prefect', deployment: 'my flow/d', pool: 'p' },
          timeoutMs: 1_500,
          retry: { ...RETRY, maxAttempts: 1, initialMs: 0, maxMs: 0 },
        },
        { name: 'c', action: { kind: 'sleep', ms: 250 } },
        { name: 'd', action: { kind: 'signal', name: 's', timeoutMs: 60_000, onTimeout: 'continue' } },
        { name: 'e', action: { kind: 'signal', name: 's', onTimeout: 'fail' } },
      ],
    });
  });

  test('keeps what ends a step and a run gently, and leaves out what is the default', () => {
    const spec = `  cancelGrace: 10s
  output: steps.a
  steps:
    - name: a
      run: {worker: h}
      queueTimeout: 1m
      heartbeatTimeout: 5s
      retry: {maxElapsed: 1h, nonRetryable: [NO], onExhausted: pause}
      compensate: {run: {worker: u, queue: q}, with: {n: payload.n}, timeout: 2s, retry: {maxAttempts: 5, onExhausted: fail}}
`;
    const { graceMs, output, steps } = definition(spec) ?? { steps: [] };
    expect({ graceMs, output, step: steps[0] }).toStrictEqual({
      graceMs: 10_000,
      output: 'steps.a',
      step: {
        name: 'a',
        needs: [],
        action: { kind: 'worker', handler: 'h', queue: 'default' },
        retry: { ...RETRY, maxElapsedMs: 3_600_000, nonRetryable: ['NO'], onExhausted: 'pause' },
        queueTimeoutMs: 60_000,
        heartbeatTimeoutMs: 5_000,
        compensate: {
          handler: 'u',
          queue: 'q',
          with: { n: 'payload.n' },
          retry: { ...RETRY, maxAttempts: 5 },
          timeoutMs: 2_000,
        },
      },
    });
    expect(definition('  cancelGrace: 0s\n  steps: [{name: a, sleep: 1s}]\n')).not.toHaveProperty('graceMs');
  });

  test('has its steps after what they need, otherwise as written', () => {
    const steps = ['{name: d, needs: [b, a]', '{name: c', '{name: b, needs: [a]', '{name: a'];
    const names = definition(`  steps: [${steps.map((step) => `${step}, sleep: 1s}`).join(', ')}]\n`)?.steps;
    expect(names?.map(({ name }) => name)).toEqual(['c', 'a', 'b', 'd']);
  });

  test('has a digest of everything but itself', () => {
    const one = definition('  steps: [{name: a, sleep: 1s}]\n');
    const same = definition('  steps:\n  - sleep: 1000ms # a comment\n    name: a\n');
    const other = definition('  steps: [{name: a, sleep: 2s}]\n');
    expect(one?.digest).toBe(same?.digest);
    expect(one?.digest).not.toBe(other?.digest);
    expect(one && digestOf(one)).toBe(one?.digest);
  });
});

describe('a stream', () => {
  test('gets its defaults', () => {
    expect(check(`${STREAM}  subjects: [a]\n`).streams).toEqual([
      {
        name: 'S',
        description: '',
        subjects: ['a'],
        retention: 'limits',
        storage: 'file',
        discard: 'old',
        num_replicas: 1,
        max_age: 0,
        max_bytes: -1,
        duplicate_window: 120e9,
        allow_direct: true,
        metadata: { 'millrace.managed': 'manifest' },
      },
    ]);
  });

  test('keeps every setting, in nanoseconds and bytes', () => {
    const spec = `  subjects: [a]
  retention: interest
  storage: memory
  discard: new
  replicas: 3
  maxAge: 1m
  maxBytes: 1.5KiB
`;
    const text = STREAM.replace('{name: S}', '{name: S, description: d, labels: {team: x}}');
    expect(check(`${text}${spec}`).streams).toMatchObject([
      {
        description: 'd',
        retention: 'interest',
        storage: 'memory',
        discard: 'new',
        num_replicas: 3,
        max_age: 60e9,
        max_bytes: 1_536,
        duplicate_window: 60e9, // never longer than messages live
        metadata: { 'millrace.managed': 'manifest', 'millrace.label/team': 'x' },
      },
    ]);
  });

  test('takes the replicas it is given when it names none', () => {
    const sources = [{ file: 'm', text: `${STREAM}  subjects: [a]\n` }];
    expect(checkManifests(sources, { replicas: 3 }).streams[0]?.num_replicas).toBe(3);
  });
});

describe('the manifests of the demo', () => {
  test('have no problem, not even a note', async () => {
    const { problems, definitions, streams } = checkManifests(await readManifests(['streams']));
    expect(problems).toEqual([]);
    expect(streams.map(({ name }) => name)).toEqual(['FLIGHTS', 'REPORTS', 'QUAKES']);
    expect(definitions.map(({ name, steps, triggers }) => [name, steps.map((s) => s.name), triggers])).toEqual([
      [
        'delay-report',
        ['validate', 'compute', 'store'],
        [{ name: 'day', stream: 'FLIGHTS', subject: 'flights.day.*' }],
      ],
      [
        'quake-alert',
        ['enrich', 'settle', 'assess', 'review', 'publish', 'expire'],
        [
          {
            name: 'reported',
            stream: 'QUAKES',
            subject: 'quakes.reported',
            when: 'payload.properties.mag != null && payload.properties.mag >= 5',
          },
        ],
      ],
    ]);
  });

  test('a path that is not there is a usage error', async () => {
    await expect(readManifests(['no-such-folder'])).rejects.toMatchObject({ code: 'MR_USAGE' });
    await expect(readManifests(['src/kernel'])).rejects.toMatchObject({ code: 'MR_USAGE' });
  });
});
