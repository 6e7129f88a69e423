/** Runs that wait for slots of limits, and attempts that wait for slots of their queue. */
import { describe, expect, test } from 'vitest';
import type { Definition, InputBody, LimitPolicy } from '../../../src/engine/index.ts';
import { cancelled, failed, given, retried, Story, started, succeeded, TRACE } from '../../kit/spec.ts';
import { define, workerStep } from '../../kit/workflows.ts';

const policy: LimitPolicy = { slots: 2, onFull: 'queue' };
const rate: LimitPolicy = { rate: { limit: 1, perMs: 1_000 }, onFull: 'queue' };
const OWN = { limit: 'workflow:w', key: '', token: 7 };
const RATE = { limit: 'rate:w', key: 'eu', token: 9 };

const limited = define('w', [workerStep('a')], {
  limits: [
    { limit: OWN.limit, policy },
    { limit: RATE.limit, key: 'payload.region', policy: rate },
  ],
  timeoutMs: 60_000,
});
const payload = { region: 'eu' };

const word = (
  slot: typeof OWN,
  verdict: 'granted' | 'refused' | 'revoked' = 'granted',
  more: { readonly ask?: number; readonly step?: string; readonly reason?: string } = {},
): InputBody => ({ v: 1, kind: 'slot', slot, verdict, ask: 0, ...more });

const asks = (slot: typeof OWN, of: LimitPolicy, ask = 0, priority = 3) => ({
  kind: 'slot.ask' as const,
  limit: slot.limit,
  key: slot.key,
  policy: of,
  priority,
  ask,
});
const frees = (slot: typeof OWN, ask = 0) => ({ kind: 'slot.free' as const, limit: slot.limit, key: slot.key, ask });

describe('a run of a limited workflow', () => {
  test('asks its first limit and begins nothing', () => {
    given(limited)
      .when(started(payload))
      .stores(
        { type: 'RunStarted', digest: limited.digest, payload, trace: TRACE },
        {
          type: 'RunQueued',
          limits: [
            { limit: OWN.limit, key: '' },
            { limit: RATE.limit, key: 'eu' },
          ],
        },
      )
      .commands([asks(OWN, policy)])
      .leaves('queued', {});
  });

  test('asks one limit after another; its time begins when it has all slots', () => {
    given(limited, started(payload))
      .when(word(OWN))
      .stores({ type: 'SlotGranted', slot: OWN })
      .commands([asks(RATE, rate)])
      .leaves('queued', {})
      .when(word(RATE))
      .leaves('running', { a: 'scheduled 1' }, ['run/0']);
  });

  test('gives back with its end what can be held', () => {
    given(limited, started(payload), word(OWN), word(RATE))
      .when(succeeded('a', 1))
      .commands([{ kind: 'timer.cancel', timer: 'run/0' }, frees(OWN)])
      .leaves('completed', { a: 'completed 1' });
  });

  test.each([
    ['another limit', word(RATE)],
    ['another key', word({ ...OWN, key: 'x' })],
    ['an earlier ask', word(OWN, 'granted', { ask: 3 })],
  ])('a word of %s means nothing', (_, body) => {
    given(limited, started(payload)).when(body).storesNothing();
  });

  test('a grant that comes twice counts once', () => {
    given(limited, started(payload), word(OWN)).when(word(OWN)).storesNothing();
  });

  test('cancelled while it waits it gives back what it has and takes back what it asked', () => {
    given(limited, started(payload), word(OWN))
      .when(cancelled())
      .commands([frees(OWN), frees(RATE)])
      .leaves('cancelled', {})
      .when(word(RATE))
      .storesNothing();
  });

  test('refused it is cancelled, and says by whom', () => {
    given(limited, started(payload))
      .when(word(OWN, 'refused', { reason: 'full' }))
      .stores({ type: 'RunCancelled', reason: 'full', by: 'limit workflow:w' })
      .commands([frees(OWN)]);
  });

  test('revoked it is cancelled in the middle of its work', () => {
    given(limited, started(payload), word(OWN), word(RATE))
      .when(word(OWN, 'revoked', { reason: 'a newer one' }))
      .leaves('cancelled', { a: 'cancelled 1' });
  });

  test('retried by hand it asks again, under the next number', () => {
    given(limited, started(payload), word(OWN), word(RATE), cancelled())
      .when(retried())
      .commands([asks(OWN, policy, 1)])
      .leaves('queued', { a: 'pending 1' })
      .when(word(OWN, 'granted', { ask: 1 }))
      .when(word(RATE, 'granted', { ask: 1 }))
      .leaves('running', { a: 'scheduled 2' }, ['run/1']);
  });

  test('a key that cannot be had fails the run', () => {
    const story = new Story(limited);
    story.feed(started({}));
    expect([story.state.status, story.state.error?.code]).toEqual(['failed', 'MR_EXPRESSION']);
  });
});

describe('priority', () => {
  const of = (priority: string): Definition =>
    define('w', [workerStep('a')], { priority, limits: [{ limit: OWN.limit, policy }] });

  test.each([
    ['payload.vip ? 1 : 4', 1],
    ['9', 5],
    ['0 - 2', 1],
    ['2.4', 2],
  ])('%s gives %i', (source, priority) => {
    given(of(source))
      .when(started({ vip: true }))
      .commands([asks(OWN, policy, 0, priority)]);
  });

  test('what the start says goes before what the workflow says', () => {
    given(of('2'))
      .when(started(null, { priority: 4 }))
      .commands([asks(OWN, policy, 0, 4)]);
  });

  test('what is no number fails the run', () => {
    const story = new Story(of('"high"'));
    story.feed(started());
    expect([story.state.status, story.state.error?.code]).toEqual(['failed', 'MR_EXPRESSION']);
  });
});

describe('an attempt of a limited queue', () => {
  const GPU = { limit: 'queue:gpu', key: '', token: 3 };
  const action = { kind: 'worker', handler: 'train', queue: 'gpu', limit: { limit: GPU.limit, policy } } as const;
  const training = define('w', [workerStep('a', [], { action, timeoutMs: 5_000 })]);
  const ask = (n: number) => ({ ...asks(GPU, policy, n), step: 'a' });
  const task = (attempt: number) => ({
    kind: 'task' as const,
    queue: 'gpu',
    handler: 'train',
    step: 'a',
    attempt,
    input: { payload: null, steps: {} },
    timeoutMs: 5_000,
    idempotencyKey: 'r1/a',
  });

  test('asks before it is handed out; its time begins with the slot', () => {
    given(training)
      .when(started())
      .commands([ask(1)])
      .leaves('running', { a: 'scheduled 1' })
      .when(word(GPU, 'granted', { ask: 1, step: 'a' }))
      .stores(
        { type: 'SlotGranted', slot: GPU, step: 'a', attempt: 1 },
        { type: 'TimerSet', timer: 'timeout/a/1', at: 1_700_000_007_000 },
      )
      .commands([{ kind: 'timer', timer: 'timeout/a/1', at: 1_700_000_007_000 }, task(1)]);
  });

  test('gives it back when it ends, and the next attempt asks anew', () => {
    const story = new Story(training);
    story.feed(started());
    story.feed(word(GPU, 'granted', { ask: 1, step: 'a' }));
    const { commands } = story.feed(failed('a', 1));
    expect(commands).toContainEqual({ ...frees(GPU, 1), step: 'a' });
    const retry = story.feed({ v: 1, kind: 'timer', timer: 'retry/a/1' });
    expect(retry.commands.filter(({ kind }) => kind !== 'event')).toEqual([ask(2)]);
    expect(story.state.steps['a']?.slot).toBeUndefined();
  });

  test.each([
    ['an attempt that is over', word(GPU, 'granted', { ask: 2, step: 'a' })],
    ['a step that is not there', word(GPU, 'granted', { ask: 1, step: 'b' })],
    ['another limit', word({ ...GPU, limit: 'queue:x' }, 'granted', { ask: 1, step: 'a' })],
  ])('a slot for %s means nothing', (_, body) => {
    given(training, started()).when(body).storesNothing();
  });

  test('a slot that comes twice counts once', () => {
    const granted = word(GPU, 'granted', { ask: 1, step: 'a' });
    given(training, started(), granted).when(granted).storesNothing();
  });

  test('cancelled while it waits it takes its ask back', () => {
    const story = new Story(training);
    story.feed(started());
    expect(story.feed(cancelled()).commands).toContainEqual({ ...frees(GPU, 1), step: 'a' });
  });
});

test('a workflow without limits asks nobody anything', () => {
  const story = new Story(define('w', [workerStep('a')]));
  const { commands } = story.feed(started());
  expect(commands.filter(({ kind }) => kind !== 'event').map(({ kind }) => kind)).toEqual(['task']);
});
