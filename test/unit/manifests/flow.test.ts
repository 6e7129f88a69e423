/** Flow control in manifests: what it becomes, and what is wrong with it. */
import { describe, expect, test } from 'vitest';
import { check, found, HEAD, STREAM } from './kit.ts';

const STEPS = '  steps: [{name: a, sleep: 1s}]\n';
const limitsOf = (spec: string) => check(`${HEAD}${spec}${STEPS}`).definitions[0]?.limits;

describe('what it becomes', () => {
  test('slots by name, then rates, in the order in which they are asked', () => {
    const spec = `  rateLimit: [{limit: 9, per: 1m, name: a}]
  concurrency: [{limit: 3, key: payload.c}, {limit: 5, name: pool, onFull: drop}, {limit: 2}]
  singleton: {key: payload.k, onFull: cancelOldest}
  priority: payload.p\n`;
    expect(limitsOf(spec)).toEqual([
      { limit: 'shared:pool', policy: { slots: 5, onFull: 'drop' } },
      { limit: 'workflow:w', key: 'payload.c', policy: { slots: 3, onFull: 'queue' } },
      { limit: 'workflow:w:3', policy: { slots: 2, onFull: 'queue' } },
      { limit: 'workflow:w:4', key: 'payload.k', policy: { slots: 1, onFull: 'cancelOldest' } },
      { limit: 'rate:a', policy: { rate: { limit: 9, perMs: 60_000 }, onFull: 'queue' } },
    ]);
  });

  test('a workflow without it has no field of it: its digest is what it was', () => {
    const [definition] = check(`${HEAD}${STEPS}`).definitions;
    expect(Object.keys(definition ?? {}).filter((name) => ['limits', 'priority'].includes(name))).toEqual([]);
  });

  test('a limited queue is in the steps that use it', () => {
    const steps = '  steps: [{name: a, run: {worker: x, queue: gpu}}, {name: b, run: {worker: x}}]\n';
    const [definition] = check(`${HEAD}  queues: {gpu: {concurrency: 4}}\n${steps}`).definitions;
    expect(definition?.steps.map(({ action }) => (action.kind === 'worker' ? action.limit : null))).toEqual([
      { limit: 'queue:gpu', policy: { slots: 4, onFull: 'queue' } },
      undefined,
    ]);
  });

  test('triggers that gather', () => {
    const triggers = `  triggers:
    - {name: t, stream: S, subject: a.b, debounce: {wait: 1s, max: 1m, key: payload.id}}
    - {name: u, stream: S, subject: a.c, batch: {size: 2, wait: 1s}}\n`;
    const { definitions } = check(`${STREAM}  subjects: [a.*]\n---\n${HEAD}${triggers}${STEPS}`);
    expect(definitions[0]?.triggers.map(({ debounce, batch }) => debounce ?? batch)).toEqual([
      { waitMs: 1_000, maxMs: 60_000, key: 'payload.id' },
      { size: 2, waitMs: 1_000 },
    ]);
  });
});

describe('what is wrong with it', () => {
  test.each([
    [
      'a name that is asked twice, a queue that nobody uses',
      `${HEAD}  concurrency: [{limit: 1, name: x}, {limit: 2, name: x}]\n  queues: {idle: {concurrency: 1}}\n${STEPS}`,
      [
        'error MR_MANIFEST_INVALID limit-once 5:55 spec.concurrency[1].name',
        'warning MR_MANIFEST_INVALID no-effect 6:12 spec.queues.idle',
      ],
    ],
    [
      'a shared limit of which two workflows say different things',
      `${HEAD}  concurrency: [{limit: 1, name: x}]\n${STEPS}---\n${HEAD.replace('name: w', 'name: v')}  concurrency: [{limit: 2, name: x}]\n${STEPS}`,
      ['error MR_MANIFEST_INVALID shared-limit 12:17 spec.concurrency[0]'],
    ],
    [
      'expressions over what is not known at the start',
      `${HEAD}  priority: steps.a\n  concurrency: [{limit: 1, key: subject}]\n${STEPS}`,
      [
        'error MR_EXPRESSION expression 5:13 spec.priority',
        'error MR_EXPRESSION expression 6:33 spec.concurrency[0].key',
      ],
    ],
    [
      'triggers that gather in two ways, that name their runs besides, that are put off for less than their quiet time',
      `${STREAM}  subjects: [a.*]\n---\n${HEAD}  triggers:
    - {name: t, stream: S, subject: a.b, debounce: {wait: 1s}, batch: {size: 2, wait: 1s}}
    - {name: u, stream: S, subject: a.c, key: payload.id, batch: {size: 2, wait: 1s}}
    - {name: v, stream: S, subject: a.d, debounce: {wait: 2s, max: 1s}}
${STEPS}`,
      [
        'error MR_MANIFEST_INVALID gathering 12:64 spec.triggers[0].batch',
        'error MR_MANIFEST_INVALID gathering 13:42 spec.triggers[1].key',
        'error MR_MANIFEST_INVALID gathering 14:68 spec.triggers[2].debounce.max',
      ],
    ],
  ])('%s', (_, text, problems) => {
    expect(found(text)).toEqual(problems);
  });
});
