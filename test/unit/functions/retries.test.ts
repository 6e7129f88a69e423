/** How often a step of a durable function is tried, how long, and what it leaves behind. */
import { describe, expect, test } from 'vitest';
import type { Failure } from '../../../src/engine/index.ts';
import { StepError, type StepOptions } from '../../../src/functions/index.ts';
import { checkOptions, delayOf, isNonRetryable } from '../../../src/functions/retry.ts';
import { type Json, MillraceError } from '../../../src/kernel/index.ts';
import { RetryAfter } from '../../../src/worker/index.ts';
import { functionsInMemory, waitFor } from '../../kit/index.ts';

class Declined extends Error {}
class DeclinedForGood extends Declined {}

const FAILURE: Failure = { code: 'MR_STEP_FAILED', message: 'no', retryable: true, lost: false };
const QUICK = { initialMs: 1, jitter: 0 };

describe('the delay before the next attempt', () => {
  const tried = { failures: 1, since: 1_000, now: 1_000, key: 'r/a' };

  test.each([
    ['is the backoff', {}, FAILURE, tried, 1_000],
    ['grows', {}, FAILURE, { ...tried, failures: 2 }, 2_000],
    ['is capped', { maxMs: 1_500 }, FAILURE, { ...tried, failures: 2 }, 1_500],
    ['is what the error says', {}, { ...FAILURE, retryAfterMs: 70_000 }, tried, 70_000],
    ['is none after the last attempt', {}, FAILURE, { ...tried, failures: 3 }, undefined],
    ['is none where none can help', {}, { ...FAILURE, retryable: false }, tried, undefined],
    ['is none that would be too late', { maxElapsedMs: 5_000 }, FAILURE, { ...tried, now: 5_000 }, undefined],
    ['is one that is just in time', { maxElapsedMs: 5_000 }, FAILURE, { ...tried, now: 4_999 }, 1_000],
    [
      'is none if the error says too late',
      { maxElapsedMs: 5_000 },
      { ...FAILURE, retryAfterMs: 5_000 },
      tried,
      undefined,
    ],
  ])('%s', (_, retry, error, when, delay) => {
    expect(delayOf({ jitter: 0, ...retry }, error, when)).toBe(delay);
  });

  test.each([
    ['a code', ['MR_STEP_FAILED'], new Error('no'), true],
    ['a class', ['Declined'], new Declined(), true],
    ['a class that it extends', ['Declined'], new DeclinedForGood(), true],
    ['another class', ['DeclinedForGood'], new Declined(), false],
    ['a name that is no class', ['constructor', 'Object'], new Declined(), false],
    ['what is no error', ['Error'], 'thrown', false],
  ])('an error is not tried again if the policy names %s', (_, nonRetryable, thrown, named) => {
    expect(isNonRetryable({ nonRetryable }, FAILURE, thrown)).toBe(named);
    expect(isNonRetryable(undefined, FAILURE, thrown)).toBe(false);
  });

  test.each<[string, StepOptions]>([
    ['timeoutMs', { timeoutMs: 0 }],
    ['heartbeatTimeoutMs', { heartbeatTimeoutMs: -1 }],
    ['retry.maxElapsedMs', { retry: { maxElapsedMs: Number.NaN } }],
    ['retry.maxAttempts', { retry: { maxAttempts: 0 } }],
  ])('%s that cannot be is told by its name', (name, options) => {
    expect(() => checkOptions('charge', options)).toThrow(`step "charge": ${name} is`);
    expect(() => checkOptions('charge', {})).not.toThrow();
  });

  test('a retry after a time that is none is refused', () => {
    expect(() => new RetryAfter(-1, 'no')).toThrow(MillraceError);
    expect(new RetryAfter(5, 'no')).toMatchObject({ retryAfterMs: 5, next: 'retry', code: 'MR_STEP_FAILED' });
  });
});

describe('a step', () => {
  test('whose error says when it makes sense again is tried then', async () => {
    const { serve, start, ends, transitions } = functionsInMemory();
    await serve('w', (ctx) =>
      ctx.step(
        'a',
        ({ attempt }) => {
          if (attempt === 1) throw new RetryAfter(3, 'busy');
          return attempt;
        },
        { retry: { initialMs: 60_000 } },
      ),
    );
    await start();
    expect((await ends()).output).toBe(2);
    const scheduled = (await transitions()).find(({ type }) => type === 'StepRetryScheduled');
    expect(scheduled).toMatchObject({ error: { message: 'busy', retryAfterMs: 3 } });
  });

  test('whose error the policy names fails at the first attempt, as the history says', async () => {
    const { serve, start, ends } = functionsInMemory();
    await serve('w', (ctx) =>
      ctx.step<Json>(
        'a',
        () => {
          throw new DeclinedForGood('no money');
        },
        { retry: { nonRetryable: ['Declined'], ...QUICK } },
      ),
    );
    await start();
    const { steps } = await ends();
    expect(steps['a']).toMatchObject({
      attempt: 1,
      status: 'failed',
      error: { message: 'no money', retryable: false },
    });
  });

  test('has the time of all its attempts from when it was asked for, as the log keeps it', async () => {
    const { serve, start, ends, state, transitions } = functionsInMemory();
    const options = { retry: { maxElapsedMs: 60_000, initialMs: 1, jitter: 0, maxAttempts: 2 } };
    await serve('w1', (ctx) => ctx.step<Json>('a', () => new Promise((_, reject) => reject(new Error('no'))), options));
    await start();
    await ends();
    const retry = (await transitions()).find(({ type }) => type === 'StepRetryScheduled');
    expect(retry).toMatchObject({ since: (await state()).startedAt });
  });

  test('that takes longer than all its attempts may fails while the attempt is under way', async () => {
    const { serve, start, ends } = functionsInMemory();
    let aborted = false;
    await serve('w', (ctx) =>
      ctx.step<Json>('a', ({ signal }) => new Promise(() => signal.addEventListener('abort', () => (aborted = true))), {
        retry: { maxElapsedMs: 5 },
      }),
    );
    await start();
    const { error } = await ends();
    expect(error).toMatchObject({ code: 'MR_STEP_TIMEOUT' });
    expect(error?.message).toContain('the 5 ms that all may take');
    expect(aborted).toBe(true);
  });

  test('whose failure no code awaits fails in the history, and the run goes on', async () => {
    const { serve, start, ends } = functionsInMemory();
    await serve('w', async (ctx) => {
      void ctx.step('a', () => {
        throw new MillraceError('MR_INPUT_INVALID', 'no');
      });
      return ctx.step('b', () => new Promise<number>((resolve) => setImmediate(() => resolve(1))));
    });
    await start();
    const { output, steps } = await ends();
    expect([output, steps['a']?.status]).toEqual([1, 'failed']);
  });
});

describe('heartbeats', () => {
  test('that do not come end the attempt', async () => {
    const { serve, start, ends, types } = functionsInMemory();
    const seen: Json[] = [];
    await serve('w', (ctx) =>
      ctx.step<Json>(
        'a',
        async ({ attempt, progress }) => {
          seen.push(progress ?? null);
          return attempt === 2 ? 'done' : new Promise(() => {});
        },
        { heartbeatTimeoutMs: 5, retry: QUICK },
      ),
    );
    await start();
    expect((await ends()).output).toBe('done');
    expect(seen).toEqual([null, null]);
    expect((await types()).flat()).toEqual(['RunStarted', 'StepRetryScheduled', 'StepCompleted', 'RunCompleted']);
  });

  test('keep an attempt alive for longer than its silence may last', async () => {
    const { serve, start, ends, types } = functionsInMemory();
    await serve('w', (ctx) =>
      ctx.step<Json>(
        'a',
        async ({ heartbeat }) => {
          const until = Date.now() + 150;
          while (Date.now() < until) {
            heartbeat();
            await new Promise((resolve) => setImmediate(resolve));
          }
          return 'done';
        },
        { heartbeatTimeoutMs: 100, retry: { maxAttempts: 1 } },
      ),
    );
    await start();
    expect((await ends()).output).toBe('done');
    expect((await types()).flat()).not.toContain('StepHeartbeat');
  });

  test('hand details to the next attempt, and write them before the failure at the latest', async () => {
    const { serve, start, ends, transitions } = functionsInMemory();
    const seen: Json[] = [];
    await serve('w', (ctx) =>
      ctx.step<Json>(
        'a',
        (attempt) => {
          seen.push(attempt.progress ?? null);
          if (attempt.attempt === 3) return 'done';
          for (let row = 1; row <= 3; row++) attempt.heartbeat({ row: row + 10 * attempt.attempt });
          expect(attempt.progress ?? null).toEqual(seen.at(-1)); // its own details are for the next one
          throw new Error('no');
        },
        { heartbeatTimeoutMs: 60_000, retry: QUICK },
      ),
    );
    await start();
    await ends();
    expect(seen).toEqual([null, { row: 13 }, { row: 23 }]);
    const told = (await transitions()).flatMap((t) =>
      t.type === 'StepHeartbeat' ? [t.details] : t.type === 'StepRetryScheduled' ? ['retry'] : [],
    );
    // The first at once, others not within half of the timeout; the last ones with the failure.
    expect(told).toEqual([{ row: 11 }, { row: 13 }, 'retry', { row: 23 }, 'retry']);
  });

  test('survive the process: a takeover has the details that were recorded', async () => {
    const { kill, serve, start, ends, types } = functionsInMemory();
    const seen: Json[] = [];
    const run = (hangs: boolean) => (attempt: { progress: Json | undefined; heartbeat(details: Json): void }) => {
      seen.push(attempt.progress ?? null);
      attempt.heartbeat({ page: 7 });
      return hangs ? new Promise<Json>(() => {}) : 'done';
    };
    await serve('w1', (ctx) => ctx.step('a', run(true)));
    await start();
    await waitFor('the record', async () => (await types()).flat().includes('StepHeartbeat'));
    kill('w1');
    await serve('w2', (ctx) => ctx.step('a', run(false)));
    expect((await ends()).output).toBe('done');
    expect(seen).toEqual([null, { page: 7 }]);
  });

  test('with details that cannot be stored throw in the attempt', async () => {
    const { serve, start, ends } = functionsInMemory();
    await serve('w', (ctx) =>
      ctx.step<Json>('a', ({ heartbeat }) => {
        heartbeat(() => 1);
        return null;
      }),
    );
    await start();
    expect((await ends()).error).toMatchObject({ code: 'MR_OUTPUT_INVALID' });
  });
});

describe('F11: a step that is to pause', () => {
  const mended = { now: false };
  const pausing = async (ctx: Parameters<Parameters<ReturnType<typeof functionsInMemory>['serve']>[1]>[0]) =>
    ctx.step(
      'charge',
      ({ attempt }) => {
        if (!mended.now) throw new Error('the till is shut');
        return attempt;
      },
      { retry: { maxAttempts: 2, onExhausted: 'pause', ...QUICK } },
    );

  test.each([
    ['a process that has it in memory', 100, false],
    ['a process that has to replay it', 0, false],
    ['another process', 0, true],
  ])('waits at rest for a person, and goes on with new attempts in %s', async (_, keepResting, dies) => {
    mended.now = false;
    const { kill, serve, start, send, ends, rests, types, state } = functionsInMemory();
    await serve('w1', pausing, { keepResting });
    await start();
    await rests();
    expect((await state()).steps['charge']).toMatchObject({ status: 'paused', attempt: 2 });
    // Two more attempts, and it pauses again: they begin anew.
    await send({ kind: 'resume', step: 'charge', by: 'ops' });
    await waitFor('the second pause', async () => (await state()).steps['charge']?.attempt === 4);
    await rests();
    mended.now = true;
    if (dies) {
      kill('w1');
      await serve('w2', pausing);
    }
    await send({ kind: 'resume', step: 'other' });
    await send({ kind: 'resume' });
    expect((await ends()).output).toBe(5);
    const told = (await types()).flat();
    expect(told.filter((type) => type === 'StepPaused')).toHaveLength(2);
    expect(told.filter((type) => type === 'StepResumed')).toHaveLength(2);
  });

  test('does not hold up the rest of the run', async () => {
    mended.now = false;
    const { serve, start, send, ends, rests } = functionsInMemory();
    await serve('w', async (ctx) => {
      const [charged, told] = await Promise.all([pausing(ctx), ctx.step('tell', () => 'told')]);
      return [charged, told, await ctx.signal('go')];
    });
    await start();
    await rests();
    mended.now = true;
    await send({ kind: 'signal', name: 'go', payload: 'went' });
    await send({ kind: 'resume' });
    expect((await ends()).output).toEqual([3, 'told', 'went']);
  });

  test('is called off when the run ends without it; an error that nothing can help pauses, too', async () => {
    const { serve, start, ends } = functionsInMemory();
    await serve('w', async (ctx) => {
      const paused = ctx.step<Json>(
        'a',
        () => {
          throw new MillraceError('MR_INPUT_INVALID', 'no');
        },
        { retry: { onExhausted: 'pause' } },
      );
      return Promise.race([paused, ctx.sleep(20).then(() => 'late')]);
    });
    await start();
    const { output, steps } = await ends();
    expect([output, steps['a']?.status, steps['a']?.attempt]).toEqual(['late', 'cancelled', 1]);
  });

  test('throws nothing at the code meanwhile: the failure is in the history (negative twin: it fails)', async () => {
    const { serve, start, ends } = functionsInMemory();
    await serve('w', (ctx) =>
      ctx
        .step<Json>(
          'a',
          () => {
            throw new Error('no');
          },
          { retry: { maxAttempts: 1, onExhausted: 'fail' } },
        )
        .catch((error: unknown) => (error instanceof StepError ? 'failed' : null)),
    );
    await start();
    expect((await ends()).output).toBe('failed');
  });
});
