/** Heartbeats of a handler (W8), and the errors that say what comes next. */
import { describe, expect, it } from 'vitest';
import { MillraceError } from '../../../src/kernel/index.ts';
import { failureOf, NonRetryableError, RetryAfter } from '../../../src/worker/index.ts';
import type { StepContext } from '../../../src/worker/types.ts';
import { bench, deferred, type FakeSink, handler, settle, taskDelivery } from './kit.ts';

const beats = (sink: FakeSink) =>
  sink.sent.flatMap(({ msgId, body }) => (body.kind === 'task.heartbeat' ? [{ msgId, details: body.details }] : []));

/** A handler that hands out its context, and ends when told. */
async function attempt(change: Parameters<typeof taskDelivery>[0] = {}) {
  const gate = deferred<void>();
  const seen = deferred<StepContext>();
  const made = bench(
    handler((_, ctx) => {
      seen.resolve(ctx);
      return gate.promise.then(() => ({ doubled: 2 }));
    }),
  );
  made.runner.deliver(taskDelivery(change));
  return { ...made, gate, ctx: await seen.promise };
}

describe('a heartbeat', () => {
  it('goes out at once, the next ones at most once per half of the silence, with the latest details', async () => {
    const { ctx, sink, timers } = await attempt({ heartbeatMs: 10_000 });
    for (const row of [1, 2, 3]) ctx.heartbeat({ row });
    await settle();
    expect(beats(sink)).toEqual([{ msgId: 'beat:r1:s:1:0:1', details: { row: 1 } }]);
    timers.advance(4_999);
    expect(beats(sink)).toHaveLength(1);
    timers.advance(1);
    expect(beats(sink).slice(1)).toEqual([{ msgId: 'beat:r1:s:1:0:2', details: { row: 3 } }]);
    await settle();
    timers.advance(60_000);
    expect(beats(sink)).toHaveLength(2);
  });

  it('without details keeps those before', async () => {
    const { ctx, sink, timers } = await attempt({ heartbeatMs: 10_000 });
    ctx.heartbeat('half');
    await settle();
    ctx.heartbeat();
    timers.advance(5_000);
    expect(beats(sink).map(({ details }) => details)).toEqual(['half', 'half']);
  });

  it('is never made by the worker itself: an attempt that only works is silent', async () => {
    const { sink, timers } = await attempt({ heartbeatMs: 1_000 });
    timers.advance(100_000);
    await settle();
    expect(beats(sink)).toEqual([]);
  });

  it('is not sent when the attempt has ended meanwhile', async () => {
    const { ctx, sink, timers, gate } = await attempt({ heartbeatMs: 10_000 });
    ctx.heartbeat(1);
    await settle();
    ctx.heartbeat(2);
    gate.resolve();
    await settle();
    ctx.heartbeat(3);
    timers.advance(60_000);
    await settle();
    expect(beats(sink)).toHaveLength(1);
  });

  it('that cannot be sent is no error of the handler, and the next one goes out in its time', async () => {
    const { ctx, sink, timers, runner } = await attempt({ heartbeatMs: 10_000 });
    sink.refuse = () => {
      throw new MillraceError('MR_NATS', 'away');
    };
    ctx.heartbeat(1);
    await settle();
    sink.refuse = () => undefined;
    ctx.heartbeat(2);
    timers.advance(5_000);
    await settle();
    expect([beats(sink).map(({ details }) => details), runner.running]).toEqual([[2], 1]);
  });

  it('with details that are not JSON fails at once and says so', async () => {
    const { ctx } = await attempt();
    expect(() => ctx.heartbeat({ n: 1n })).toThrow(/details of a heartbeat of h is not JSON/);
  });

  it('of the attempt before is there as progress', async () => {
    expect((await attempt({ attempt: 2, progress: { row: 3 } })).ctx.progress).toEqual({ row: 3 });
    expect((await attempt()).ctx.progress).toBeUndefined();
  });
});

describe('what was thrown', () => {
  class CardDeclined extends Error {}

  it.each([
    [new Error('no'), { code: 'MR_STEP_FAILED', retryable: true }],
    [Object.assign(new Error('no'), { code: 'ECONNREFUSED' }), { code: 'ECONNREFUSED', retryable: true }],
    [Object.assign(new Error('no'), { code: 'MR_RUN_STATE' }), { code: 'MR_STEP_FAILED', retryable: true }],
    [Object.assign(new Error('no'), { code: 'not a code' }), { code: 'MR_STEP_FAILED', retryable: true }],
    [new CardDeclined('no'), { code: 'MR_STEP_FAILED', type: 'CardDeclined', retryable: true }],
    [new NonRetryableError('no'), { code: 'MR_STEP_FAILED', retryable: false }],
    [new RetryAfter(5_000, 'no'), { code: 'MR_STEP_FAILED', retryable: true, retryAfterMs: 5_000 }],
  ])('%s is a failure %j', (error, expected) => {
    expect(failureOf(error)).toStrictEqual({ message: 'no', lost: false, ...expected });
  });
});
