/** Workflows made by chance: every kind of step, needs, conditions, limits. Shrinkable, and the same for the same seed. */
import fc from 'fast-check';
import type { Definition, StepAction, StepDefinition } from '../../src/engine/index.ts';
import { define } from './workflows.ts';

const action: fc.Arbitrary<StepAction> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom('h1', 'h2').map((handler) => ({ kind: 'worker', handler, queue: 'q' }) as const),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'prefect', deployment: 'f/d', pool: 'p' } as const) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 90_000 }).map((ms) => ({ kind: 'sleep', ms }) as const) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('signal' as const),
      name: fc.constantFrom('ok', 'go'),
      onTimeout: fc.constantFrom('continue' as const, 'fail' as const),
      timeoutMs: fc.integer({ min: 1_000, max: 200_000 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'signal', name: 'ok', onTimeout: 'continue' } as const) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      { kind: 'child', workflow: 'sub', onClose: 'cancel', wait: true } as const,
      { kind: 'child', workflow: 'sub', onClose: 'abandon', wait: true } as const,
      { kind: 'child', workflow: 'sub', onClose: 'abandon', wait: false } as const,
    ),
  },
);

const retry = fc.record({
  initialMs: fc.constantFrom(0, 10, 1_000),
  factor: fc.constantFrom(1, 2),
  maxMs: fc.constant(10_000),
  jitter: fc.constantFrom(0, 0.5),
  maxAttempts: fc.integer({ min: 1, max: 3 }),
  maxLost: fc.integer({ min: 0, max: 3 }),
});

const rarely = <T>(arbitrary: fc.Arbitrary<T>, freq: number): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq });

/** What most retry policies do not say. */
const patience = fc.record({
  maxElapsedMs: rarely(fc.integer({ min: 1, max: 60_000 }), 4),
  nonRetryable: rarely(fc.constant(['HOPELESS']), 3),
  onExhausted: rarely(fc.constant('pause' as const), 2),
});

const compensate = fc
  .record({
    handler: fc.constant('h3'),
    queue: fc.constant('q'),
    retry,
    timeoutMs: fc.integer({ min: 50, max: 60_000 }),
    with: rarely(fc.constant({ n: 'payload.n', x: 'payload.missing' }), 8),
    onExhausted: rarely(fc.constant('pause' as const), 3),
  })
  .map(({ onExhausted, ...how }) => present({ ...how, retry: present({ ...how.retry, onExhausted }) }));

const CONDITIONS = ['payload.flag', '!payload.flag', 'payload.n > 1', 'payload.missing'] as const;

const shape = fc.record({
  action,
  retry,
  patience,
  compensate: rarely(compensate, 2),
  queueTimeoutMs: rarely(fc.integer({ min: 50, max: 60_000 }), 4),
  heartbeatTimeoutMs: rarely(fc.integer({ min: 50, max: 60_000 }), 3),
  needs: fc.array(fc.nat({ max: 5 }), { maxLength: 3 }),
  timeoutMs: fc.option(fc.integer({ min: 50, max: 60_000 }), { nil: undefined, freq: 3 }),
  when: fc.option(fc.constantFrom(...CONDITIONS), { nil: undefined, freq: 5 }),
  forEach: rarely(
    fc.record({
      items: fc.constantFrom('payload.list', 'payload.list', 'payload.missing'),
      maxParallel: fc.integer({ min: 1, max: 3 }),
      onFailure: fc.constantFrom('fail' as const, 'collect' as const),
    }),
    4,
  ),
  eachWhen: rarely(fc.constantFrom('item > 1', 'index == 0', 'item.missing'), 3),
});

/** Without the members that are undefined: a definition leaves out what was not said. */
function present<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}

/** Steps `s0`, `s1`, … where each needs only earlier ones. */
export const anyDefinition: fc.Arbitrary<Definition> = fc
  .record({
    steps: fc.array(shape, { minLength: 1, maxLength: 7 }),
    timeoutMs: fc.option(fc.integer({ min: 10_000, max: 400_000 }), { nil: undefined, freq: 5 }),
    deadLetter: fc.boolean(),
    graceMs: rarely(fc.integer({ min: 1, max: 60_000 }), 3),
    output: rarely(fc.constantFrom('payload.flag', 'payload.missing', '{"n": payload.n}'), 4),
  })
  .map(({ steps, timeoutMs, ...rest }) =>
    define(
      'sim',
      steps.map((step, index): StepDefinition => {
        const needs = [...new Set(step.needs.filter((need) => need < index))].sort().map((need) => `s${need}`);
        const timed = step.timeoutMs !== undefined && step.action.kind !== 'sleep' && step.action.kind !== 'signal';
        const work = step.action.kind === 'worker' || step.action.kind === 'prefect';
        const more = {
          queueTimeoutMs: work ? step.queueTimeoutMs : undefined,
          heartbeatTimeoutMs: step.action.kind === 'worker' ? step.heartbeatTimeoutMs : undefined,
          compensate: work ? step.compensate : undefined,
          forEach: work || step.action.kind === 'child' ? step.forEach : undefined,
        };
        const when = more.forEach === undefined ? step.when : (step.eachWhen ?? step.when);
        return {
          name: `s${index}`,
          needs,
          action: step.action,
          retry: present({ ...step.retry, ...step.patience }),
          ...present(more),
          ...(timed ? { timeoutMs: step.timeoutMs } : {}),
          ...(when === undefined ? {} : { when }),
        } as StepDefinition;
      }),
      present({ ...rest, timeoutMs }) as Pick<Definition, 'deadLetter'>,
    ),
  );
