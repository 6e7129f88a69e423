import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { isMillraceError } from '../../../src/kernel/index.ts';
import { runAttempt } from '../../../src/worker/attempt.ts';
import { BoundedMap } from '../../../src/worker/bounded-map.ts';
import { describeIssues, formatPath } from '../../../src/worker/errors.ts';
import { createWorker } from '../../../src/worker/index.ts';
import type { StepContext } from '../../../src/worker/types.ts';
import { handler, task } from './kit.ts';

const noContext = {} as StepContext;

describe('formatPath', () => {
  it.each([
    [[], ''],
    [['flights', 3, 'delay'], 'flights[3].delay'],
    [[0, 'a'], '[0].a'],
  ])('%j is written %s', (path, text) => expect(formatPath(path)).toBe(text));
});

describe('describeIssues', () => {
  it('given many problems: names the first three and counts the rest', () => {
    const result = z.array(z.number()).safeParse(['a', 'b', 'c', 'd', 'e']);
    expect(describeIssues(result.error ?? new z.ZodError([]))).toBe(
      '[0]: Invalid input: expected number, received string; [1]: Invalid input: expected number, received string; ' +
        '[2]: Invalid input: expected number, received string (and 2 more)',
    );
  });
});

describe('runAttempt', () => {
  it('given an output that JSON cannot hold: MR_OUTPUT_INVALID', async () => {
    const outcome = await runAttempt(
      handler(() => 1n, { output: z.bigint() }),
      task(),
      noContext,
    );
    expect(outcome).toMatchObject({ ok: false, error: { code: 'MR_OUTPUT_INVALID', retryable: false } });
  });

  it('given nothing returned where nothing is asked for: null', async () => {
    const outcome = await runAttempt(
      handler(() => undefined, { output: z.void() }),
      task(),
      noContext,
    );
    expect(outcome).toEqual({ ok: true, output: null });
  });

  it('given a schema that throws: MR_INTERNAL, not an exception (W1)', async () => {
    const input = z.unknown().transform(() => {
      throw new Error('broken');
    });
    const outcome = await runAttempt(
      handler(() => undefined, { input }),
      task(),
      noContext,
    );
    expect(outcome).toMatchObject({ ok: false, error: { code: 'MR_INTERNAL' } });
  });

  it('given a schema that transforms: the handler gets what it makes', async () => {
    const input = z.object({ n: z.number() }).transform(({ n }) => n + 1);
    const outcome = await runAttempt(
      handler((n) => n, { input, output: z.number() }),
      task(),
      noContext,
    );
    expect(outcome).toEqual({ ok: true, output: 2 });
  });
});

describe('BoundedMap', () => {
  it('given more than it may hold: forgets the oldest; setting again makes young', () => {
    const map = new BoundedMap<string, number>(2);
    map.set('a', 1);
    map.set('b', 2);
    map.set('a', 3);
    map.set('c', 4);
    expect([map.get('a'), map.has('b'), map.get('c'), map.size]).toEqual([3, false, 4, 2]);
  });
});

describe('createWorker', () => {
  const any = { input: z.unknown(), output: z.unknown() };
  const codeOf = (act: () => unknown): string => {
    try {
      act();
    } catch (error) {
      return isMillraceError(error) ? `${error.code}: ${error.message}` : String(error);
    }
    return 'nothing thrown';
  };
  const worker = () => createWorker({ nats: 'nats://127.0.0.1:1' }).handle('a.b', any, () => null);

  it.each([
    ['a name that is taken', () => worker().handle('a.b', any, () => null), 'MR_USAGE: handler "a.b" is taken'],
    [
      'one that differs in dots',
      () => worker().handle('a-b', any, () => null),
      'MR_USAGE: handler "a-b" is taken by "a.b"',
    ],
    ['no name', () => worker().handle('a b', any, () => null), 'MR_INPUT_INVALID: "a b" cannot be part of a subject'],
    [
      'no room',
      () => worker().handle('c', { ...any, concurrency: 0 }, () => null),
      'MR_USAGE: concurrency of "c" must be at least 1',
    ],
    ['a bad queue', () => createWorker({ nats: '', queue: 'a.b' }), 'MR_USAGE: "a.b" cannot name a queue'],
    ['a good name (negative twin)', () => worker().handle('c', any, () => null), 'nothing thrown'],
  ])('given %s', (_, act, expected) => expect(codeOf(act)).toBe(expected));

  it('given no handlers: the start is refused', async () => {
    await expect(createWorker({ nats: 'nats://127.0.0.1:1' }).start()).rejects.toMatchObject({ code: 'MR_USAGE' });
  });

  it('given no server: the start says so and leaves nothing open', async () => {
    await expect(worker().start()).rejects.toMatchObject({ code: 'MR_NATS_UNREACHABLE' });
  });
});
