/** The parts of durable functions, and the exact log that each operation writes. */
import { describe, expect, test } from 'vitest';
import { fold, type StoredEntry, type Transition } from '../../../src/engine/index.ts';
import { StepError } from '../../../src/functions/index.ts';
import { asJson, copyOf } from '../../../src/functions/json.ts';
import { Order } from '../../../src/functions/order.ts';
import { recall } from '../../../src/functions/recall.ts';
import { isMillraceError, type Json, MillraceError } from '../../../src/kernel/index.ts';
import { functionsInMemory, waitFor } from '../../kit/index.ts';

describe('values on their way into the journal', () => {
  test('are copied, and as JSON has them', () => {
    const given = { a: [1, { b: 'x' }], c: null, d: true };
    const kept = asJson(given, 'it');
    expect(kept).toEqual(given);
    given.a.push(2);
    expect(kept).toEqual({ a: [1, { b: 'x' }], c: null, d: true });
    expect(asJson({ at: new Date(0), gone: undefined, zero: -0 }, 'it')).toStrictEqual({
      at: '1970-01-01T00:00:00.000Z',
      zero: 0,
    });
    expect(asJson([1, undefined, Number.NaN], 'it')).toStrictEqual([1, null, null]);
    expect(asJson(undefined, 'it')).toBeNull();
    const inner = { n: 1 };
    expect(copyOf(inner)).toEqual(inner);
    expect(copyOf(inner)).not.toBe(inner);
  });

  test.each([
    ['a function', () => 1],
    ['a symbol', Symbol('x')],
    ['a bigint', 1n],
  ])('%s is refused by a sentence', (_, value) => {
    expect(() => asJson(value, 'what step "a" returned')).toThrow(/^what step "a" returned cannot be stored/);
  });

  test('a circle is refused', () => {
    const circle: { self?: unknown } = {};
    circle.self = circle;
    expect(() => asJson(circle, 'it')).toThrow(MillraceError);
  });
});

describe('F4: the order of results', () => {
  const run = (recorded: readonly string[]) => {
    const turns: (() => void)[] = [];
    const given: string[] = [];
    const owner = {
      ports: { defer: (then: () => void) => void turns.push(then) },
      now: 0,
      drained: () => given.push('-'),
    };
    const order = new Order(owner, recorded);
    const turn = (): void => {
      for (const then of turns.splice(0)) then();
    };
    return { order, given, turn };
  };

  test('is that of the log, whatever is asked for first; new results come behind it', () => {
    const { order, given, turn } = run(['a', 'b']);
    order.settle(1, () => given.push('new'));
    order.replay('b', 1, () => given.push('b'));
    turn();
    expect(given).toEqual(['-']);
    order.replay('a', 1, () => given.push('a'));
    for (let i = 0; i < 5; i++) turn();
    expect(given).toEqual(['-', 'a', 'b', 'new', '-']);
  });

  test('not even the first new result is given while something runs', () => {
    const { order, given, turn } = run([]);
    order.settle(1, () => given.push('new'));
    expect(given).toEqual([]);
    turn();
    expect(given).toEqual(['new']);
  });
});

describe('recall', () => {
  const entry = (seq: number, cause: number, ...transitions: Transition[]): StoredEntry => ({
    v: 1,
    seq,
    cause,
    at: seq * 10,
    transitions,
  });
  const started: Transition = { type: 'RunStarted', digest: 'd', payload: null, worker: 'w', notify: '_INBOX.a' };
  const completed = (step: string): Transition => ({ type: 'StepCompleted', step, attempt: 1, output: 1 });

  test('gives results in the order of the log, without those a retry took back, and the lease', () => {
    const log = [
      entry(2, 1, started, completed('b')),
      entry(3, 1, completed('a'), { type: 'RunSuspended' }),
      entry(5, 4, { type: 'RunClaimed', worker: 'v' }, completed('c')),
      entry(8, 7, { type: 'RunRetried', steps: ['a'] }),
    ];
    const { order, times, lease, state } = recall('w', 'r', log);
    expect(order).toEqual(['b', 'c']);
    expect(times.get('c')).toBe(50);
    expect(lease).toBe(4);
    expect(state.notify).toBe('_INBOX.a');
    expect(recall('w', 'r', log.slice(0, 1)).lease).toBe(1);
  });

  test('a failed attempt is counted without having been scheduled', () => {
    const error = { code: 'MR_STEP_FAILED', message: 'no', retryable: true, lost: false };
    const log = [entry(2, 1, started, { type: 'StepRetryScheduled', step: 'a', attempt: 1, error, retryAt: 5 })];
    expect(fold('w', 'r', log).steps['a']).toMatchObject({ status: 'backoff', attempt: 1, failures: 1 });
  });
});

describe('the log of a run', () => {
  test('steps that end at once are one entry, with the end', async () => {
    const { serve, start, ends, types } = functionsInMemory();
    await serve('w', async (ctx) => (await ctx.step('a', () => 1)) + (await ctx.step('a', () => 2)));
    await start();
    expect((await ends()).output).toBe(3);
    expect((await types()).flat()).toEqual(['RunStarted', 'StepCompleted', 'StepCompleted', 'RunCompleted']);
  });

  test.each([
    ['that comes again after all memory of it is gone repeats no effect', {}, 1],
    [
      'that was said to be fresh and comes again repeats its first effect, and nothing in the log (negative twin)',
      { fresh: true },
      2,
    ],
  ])('a start %s', async (_, fresh, times) => {
    const { broker, serve, send, ends, types } = functionsInMemory();
    const effects: string[] = [];
    const host = await serve('w', async (ctx) => ctx.step('a', () => effects.push('a')), { keepResting: 0 });
    for (let i = 0; i < 2; i++) {
      await send({ kind: 'start', digest: 'd', payload: null, ...fresh });
      await ends();
      const handled = () => (broker.stream('fn').open.size === 0 && host.executing === 0 ? true : undefined);
      await waitFor('the start to be dealt with', async () => handled());
    }
    expect(effects).toHaveLength(times);
    expect((await types()).flat()).toEqual(['RunStarted', 'StepCompleted', 'RunCompleted']);
  });

  test('what code does to its input and to a result is not in the log', async () => {
    const { serve, start, ends } = functionsInMemory();
    await serve('w', async (ctx, input: { list: Json[] }) => {
      const got = await ctx.step('a', () => ({ n: 1 }));
      Object.assign(got, { n: 2 });
      input.list.push('x');
      return { got, list: input.list };
    });
    await start({ list: [] });
    const state = await ends();
    expect(state.output).toEqual({ got: { n: 2 }, list: ['x'] });
    expect(state.steps['a']?.output).toEqual({ n: 1 });
    expect(state.payload).toEqual({ list: [] });
  });

  test.each([
    ['the first entry', 'whole', ['RunStarted', 'RunFailed']],
    [
      'a later one',
      'signal',
      ['RunStarted', 'SignalAwaited', 'TimerSet', 'TimerCancelled', 'StepCancelled', 'RunFailed'],
    ],
  ])('%s that is too large fails the run, and leaves nothing open', async (_, how, log) => {
    const { serve, start, ends, types } = functionsInMemory((entry) => JSON.stringify(entry).length < 1_000);
    await serve('w', async (ctx) => {
      if (how === 'signal') void ctx.signal('never', { timeoutMs: 1_000_000 }).catch(() => undefined);
      return ctx.step('big', () => 'x'.repeat(1_000));
    });
    await start();
    const state = await ends();
    expect(state.error).toMatchObject({ code: 'MR_PAYLOAD_TOO_LARGE', retryable: false });
    expect(state.timers).toEqual({});
    expect(Object.values(state.steps).map(({ status }) => status)).toEqual(how === 'signal' ? ['cancelled'] : []);
    expect((await types()).flat()).toEqual(log);
  });

  test('a step that fails for good is a StepError, alike live and on replay', async () => {
    const { serve, start, send, ends, types } = functionsInMemory();
    const seen: unknown[] = [];
    await serve(
      'w',
      async (ctx) => {
        try {
          await ctx.step('a', () => {
            throw new MillraceError('MR_INPUT_INVALID', 'no', { next: 'terminal', hint: 'mend it' });
          });
        } catch (error) {
          if (error instanceof StepError) seen.push([error.code, error.message, error.hint, error.step, error.failure]);
        }
        return ctx.signal('go');
      },
      { keepResting: 0 },
    );
    await start();
    await waitFor('rest', async () => (await types()).flat().includes('RunSuspended'));
    await send({ kind: 'signal', name: 'go', payload: 7 });
    expect((await ends()).output).toBe(7);
    expect(seen).toHaveLength(2);
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[0]).toMatchObject(['MR_INPUT_INVALID', 'no', 'mend it', 'a', { retryable: false }]);
  });

  test('a retry by hand gives the failed step new attempts, counted on, and keeps the others', async () => {
    const { serve, start, send, ends, types } = functionsInMemory();
    const attempts: number[] = [];
    let firsts = 0;
    await serve('w', async (ctx) => {
      await ctx.step('first', () => ++firsts);
      return ctx.step(
        'a',
        ({ attempt }) => {
          attempts.push(attempt);
          if (attempt < 4) throw new Error('no');
          return 'yes';
        },
        { retry: { maxAttempts: 3, initialMs: 1 } },
      );
    });
    await start();
    expect((await ends()).status).toBe('failed');
    await send({ kind: 'retry' });
    const state = await waitFor('the second end', async () => {
      const now = await ends();
      return now.status === 'completed' ? now : undefined;
    });
    expect([state.output, attempts, firsts]).toEqual(['yes', [1, 2, 3, 4], 1]);
    expect((await types()).flat().filter((type) => type === 'RunRetried')).toHaveLength(1);
  });

  test('a timeout of a step aborts its attempt and fails it', async () => {
    const { serve, start, ends } = functionsInMemory();
    let aborted = false;
    await serve('w', (ctx) =>
      ctx.step<Json>('a', ({ signal }) => new Promise(() => signal.addEventListener('abort', () => (aborted = true))), {
        timeoutMs: 5,
        retry: { maxAttempts: 1 },
      }),
    );
    await start();
    expect((await ends()).error?.code).toBe('MR_STEP_TIMEOUT');
    expect(aborted).toBe(true);
  });

  test('code that asks for something else than the log has is given up, and told by name', async () => {
    const { broker, serve, start, send, types, warned } = functionsInMemory();
    await serve('old', async (ctx) => {
      await ctx.step('charge', () => 1);
      return ctx.signal('go');
    });
    await start();
    await waitFor('rest', async () => (await types()).flat().includes('RunSuspended'));
    broker.kill('old');
    await serve('new', async (ctx) => ctx.step('other', () => 2));
    await send({ kind: 'signal', name: 'go', payload: null });
    const said = await waitFor('the warning', () => warned.find((one) => one.includes('charge')));
    expect(said).toContain('the journal of run r of fn has "charge" as result 1');
    expect((await types()).flat()).not.toContain('RunClaimed');
  });

  test('branches that compute before they ask have the names of their steps in every replay', async () => {
    const { serve, start, send, ends, types } = functionsInMemory();
    await serve(
      'w',
      async (ctx) => {
        const slow = async () => {
          for (let i = 0; i < 5; i++) await null;
          return ctx.step('x', () => 'slow');
        };
        const quick = async () => {
          await ctx.step('q', () => 0);
          return ctx.step('x', () => 'quick');
        };
        const both = await Promise.all([quick(), slow()]);
        return [...both, await ctx.signal('go')];
      },
      { keepResting: 0 },
    );
    await start();
    await waitFor('rest', async () => (await types()).flat().includes('RunSuspended'));
    await send({ kind: 'signal', name: 'go', payload: 1 });
    expect((await ends()).output).toEqual(['quick', 'slow', 1]);
  });

  test('names and sleeps that cannot be are told', async () => {
    const { serve, start, ends } = functionsInMemory();
    await serve('w', async (ctx) => {
      const codes: Json[] = [];
      for (const wrong of [() => ctx.step('a#2', () => 1), () => ctx.sleep(-1), () => ctx.sleep(1e15)]) {
        await wrong().catch((error: unknown) => codes.push(isMillraceError(error) ? error.code : null));
      }
      return codes;
    });
    await start();
    expect((await ends()).output).toEqual(['MR_USAGE', 'MR_USAGE', 'MR_USAGE']);
  });
});
