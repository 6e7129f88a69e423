/** Stopping an attempt: cancels before, while and after, with and without a grace time of the run; timeouts (W7). */
import { describe, expect, it } from 'vitest';
import type { StepContext } from '../../../src/worker/types.ts';
import { bench, deferred, handler, settle, taskDelivery } from './kit.ts';

const BEGUN = { step: 's', attempt: 1, worker: 'tester', startedAt: 0 };
const failed = (error: object) => ({
  msgId: 'result:r1:s:1',
  body: { v: 1, kind: 'task.failed', ...BEGUN, error: { lost: false, ...error } },
});

describe('stopping an attempt', () => {
  const waitForAbort = (_: unknown, ctx: StepContext) =>
    new Promise((_resolve, reject) => {
      ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason));
    });

  it('given a cancel: the signal aborts with its reason, the message is done', async () => {
    const { runner, sink } = bench(handler(waitForAbort));
    const delivery = taskDelivery();
    runner.deliver(delivery);
    await settle();
    runner.cancel('w/r1/s/1', { reason: 'changed my mind' });
    await settle();
    expect(sink.sent.at(-1)).toEqual(failed({ code: 'MR_CANCELLED', message: 'changed my mind', retryable: false }));
    expect(delivery.log).toEqual(['ack']);
  });

  it('given a cancel of another attempt: it goes on (negative twin)', async () => {
    const { runner, sink } = bench(handler(waitForAbort));
    runner.deliver(taskDelivery());
    await settle();
    runner.cancel('w/r1/s/2', { reason: 'changed my mind' });
    await settle();
    expect([sink.sent.length, runner.running]).toEqual([0, 1]);
  });

  it('given a cancel with a grace time: the handler has that long, and what it returns in it counts (W7)', async () => {
    const gate = deferred<void>();
    const { runner, sink, timers } = bench(handler(() => gate.promise.then(() => ({ doubled: 2 }))));
    runner.deliver(taskDelivery());
    await settle();
    runner.cancel('w/r1/s/1', { reason: 'closing', graceMs: 60_000 });
    timers.advance(59_000);
    await settle();
    expect(runner.running).toBe(1);
    gate.resolve();
    await settle();
    expect(sink.sent.at(-1)?.body).toMatchObject({ kind: 'task.succeeded', output: { doubled: 2 } });
  });

  it('given a cancel with a grace time before the delivery: the run is told that it never began', async () => {
    let runs = 0;
    const { runner, sink } = bench(handler(() => ({ doubled: runs++ })));
    runner.cancel('w/r1/s/1', { reason: 'closing', graceMs: 60_000 });
    const delivery = taskDelivery();
    runner.deliver(delivery);
    await settle();
    const error = { code: 'MR_CANCELLED', message: 'closing', retryable: false, lost: false };
    expect([runs, sink.sent, delivery.log]).toEqual([
      0,
      [{ msgId: 'result:r1:s:1', body: { v: 1, kind: 'task.failed', step: 's', attempt: 1, error } }],
      ['ack'],
    ]);
  });

  it('given a cancel with a grace time while it waits for its turn: likewise', async () => {
    const { runner, sink } = bench(handler(waitForAbort, { concurrency: 1 }));
    runner.deliver(taskDelivery());
    runner.deliver(taskDelivery({ step: 't' }, 2));
    await settle();
    runner.cancel('w/r1/t/1', { reason: 'closing', graceMs: 60_000 });
    await settle();
    expect(sink.sent.map(({ msgId }) => msgId)).toEqual(['result:r1:t:1']);
  });

  it('given a cancel before the delivery: the attempt never begins', async () => {
    let runs = 0;
    const { runner, sink } = bench(handler(() => ({ doubled: runs++ })));
    runner.cancel('w/r1/s/1', { reason: 'too late' });
    const delivery = taskDelivery();
    runner.deliver(delivery);
    await settle();
    expect([runs, sink.sent, delivery.log]).toEqual([0, [], ['ack']]);
  });

  it('given its timeout: aborted and reported as such, may be tried again', async () => {
    const { runner, sink, timers } = bench(handler(waitForAbort));
    runner.deliver(taskDelivery({ timeoutMs: 1_000 }));
    await settle();
    timers.advance(1_000);
    await settle();
    const message = 'attempt 1 did not end within 1000 ms';
    expect(sink.sent.at(-1)).toEqual(failed({ code: 'MR_STEP_TIMEOUT', message, retryable: true }));
  });

  it('given a handler that ignores its signal: after the grace its slot is free (W7)', async () => {
    const { runner, sink, timers } = bench(handler(() => new Promise(() => undefined)));
    runner.deliver(taskDelivery({ timeoutMs: 1_000 }));
    await settle();
    timers.advance(1_000);
    await settle();
    expect([runner.running, sink.sent.length]).toEqual([1, 1]);
    timers.advance(5_000);
    await settle();
    expect([runner.running, sink.sent.length]).toEqual([0, 2]);
  });

  it('given a handler that succeeds in spite of the abort: its result counts', async () => {
    const gate = deferred<{ doubled: number }>();
    const { runner, sink, timers } = bench(handler(() => gate.promise));
    runner.deliver(taskDelivery({ timeoutMs: 1_000 }));
    await settle();
    timers.advance(1_000);
    gate.resolve({ doubled: 2 });
    await settle();
    expect(sink.sent.at(-1)?.body.kind).toBe('task.succeeded');
  });
});
