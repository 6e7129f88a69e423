import { describe, expect, it } from 'vitest';
import { MillraceError } from '../../../src/kernel/index.ts';
import { NonRetryableError } from '../../../src/worker/index.ts';
import type { StepContext } from '../../../src/worker/types.ts';
import { bench, deferred, FakeDelivery, handler, settle, taskDelivery } from './kit.ts';

const STARTED = {
  msgId: 'started:r1:s:1',
  body: { v: 1, kind: 'task.started', step: 's', attempt: 1, worker: 'tester' },
};
const BEGUN = { step: 's', attempt: 1, worker: 'tester', startedAt: 0 };
const failed = (error: object) => ({
  msgId: 'result:r1:s:1',
  body: { v: 1, kind: 'task.failed', ...BEGUN, error: { lost: false, ...error } },
});

describe('an attempt', () => {
  it('given a handler that returns at once: one report that says all, then the acknowledgement (W3)', async () => {
    const { runner, sink } = bench(handler(({ n }) => ({ doubled: n * 2 })));
    const delivery = taskDelivery({ input: { n: 21 } });
    runner.deliver(delivery);
    await settle();
    expect(sink.sent).toEqual([
      { msgId: 'result:r1:s:1', body: { v: 1, kind: 'task.succeeded', ...BEGUN, output: { doubled: 42 } } },
    ]);
    expect(delivery.log).toEqual(['ack']);
  });

  it('given a handler that takes longer: its start is reported while it runs, and the result still says it', async () => {
    const gate = deferred<void>();
    const { runner, sink, timers } = bench(handler(({ n }) => gate.promise.then(() => ({ doubled: n * 2 }))));
    runner.deliver(taskDelivery({ input: { n: 21 } }));
    await settle();
    timers.advance(74);
    expect(sink.sent).toEqual([]);
    timers.advance(1);
    expect(sink.sent).toEqual([STARTED]);
    gate.resolve();
    await settle();
    expect(sink.sent.slice(1)).toEqual([
      { msgId: 'result:r1:s:1', body: { v: 1, kind: 'task.succeeded', ...BEGUN, output: { doubled: 42 } } },
    ]);
    timers.advance(1_000);
    expect(sink.sent.length).toBe(2);
  });

  it('given a result that is not stored yet: no acknowledgement (W3, negative twin)', async () => {
    const { runner, sink } = bench(handler(({ n }) => ({ doubled: n * 2 })));
    sink.refuse = (body) => {
      if (body.kind === 'task.succeeded') throw new MillraceError('MR_NATS', 'away');
    };
    const delivery = taskDelivery();
    runner.deliver(delivery);
    await settle();
    expect(delivery.log).toEqual(['nak 5000']);
  });

  it('given a result that could not be stored: the redelivery reports it without running again (W5)', async () => {
    let runs = 0;
    const { runner, sink } = bench(handler(({ n }) => ({ doubled: n * 2 + runs++ })));
    sink.refuse = (body) => {
      if (body.kind === 'task.succeeded') throw new MillraceError('MR_NATS', 'away');
    };
    runner.deliver(taskDelivery());
    await settle();
    sink.refuse = () => undefined;
    const again = taskDelivery({}, 1, 2);
    runner.deliver(again);
    await settle();
    expect(runs).toBe(1);
    expect(again.log).toEqual(['ack']);
    expect(sink.sent.at(-1)?.body).toEqual({
      v: 1,
      kind: 'task.succeeded',
      ...BEGUN,
      output: { doubled: 2 },
    });
  });

  it('given an attempt whose result is stored: a redelivery is only acknowledged (W5)', async () => {
    let runs = 0;
    const { runner, sink } = bench(handler(() => ({ doubled: runs++ })));
    runner.deliver(taskDelivery());
    await settle();
    const again = taskDelivery({}, 1, 2);
    runner.deliver(again);
    await settle();
    expect([runs, again.log, sink.sent.length]).toEqual([1, ['ack'], 1]);
  });

  it('given another attempt of the same step: it runs (W5, negative twin)', async () => {
    let runs = 0;
    const { runner } = bench(handler(() => ({ doubled: runs++ })));
    runner.deliver(taskDelivery());
    await settle();
    runner.deliver(taskDelivery({ attempt: 2 }, 2));
    await settle();
    expect(runs).toBe(2);
  });

  it('given a redelivery while it runs: it is not run twice, the newer delivery is acknowledged (W4)', async () => {
    const gate = deferred<{ doubled: number }>();
    let runs = 0;
    const { runner } = bench(
      handler(() => {
        runs++;
        return gate.promise;
      }),
    );
    const first = taskDelivery();
    const second = taskDelivery({}, 1, 2);
    runner.deliver(first);
    runner.deliver(second);
    gate.resolve({ doubled: 2 });
    await settle();
    expect([runs, first.log, second.log]).toEqual([1, [], ['working', 'ack']]);
  });
});

describe('what a handler does wrong', () => {
  it.each([
    [
      'an input that does not fit',
      () => ({ doubled: 1 }),
      { n: 'one' },
      {
        code: 'MR_INPUT_INVALID',
        message: 'input of h: n: Invalid input: expected number, received string',
        retryable: false,
        hint: "see the step's `with` in the workflow",
      },
    ],
    [
      'an output that does not fit',
      () => ({ doubled: 'x' }),
      { n: 1 },
      {
        code: 'MR_OUTPUT_INVALID',
        message: 'output of h: doubled: Invalid input: expected number, received string',
        retryable: false,
      },
    ],
    [
      'a plain error: may be tried again',
      () => {
        throw new Error('not today');
      },
      { n: 1 },
      { code: 'MR_STEP_FAILED', message: 'not today', retryable: true },
    ],
    [
      'a NonRetryableError: never again',
      () => {
        throw new NonRetryableError('never', { hint: 'mend it' });
      },
      { n: 1 },
      { code: 'MR_STEP_FAILED', message: 'never', retryable: false, hint: 'mend it' },
    ],
    [
      'ctx.fail: never again unless it says so',
      (_: unknown, ctx: StepContext) => ctx.fail('no'),
      { n: 1 },
      { code: 'MR_STEP_FAILED', message: 'no', retryable: false },
    ],
    [
      'ctx.fail that may be tried again',
      (_: unknown, ctx: StepContext) => ctx.fail('later', { retryable: true }),
      { n: 1 },
      { code: 'MR_STEP_FAILED', message: 'later', retryable: true },
    ],
    [
      'something thrown that is no error',
      () => Promise.reject('text'),
      { n: 1 },
      { code: 'MR_STEP_FAILED', message: 'text', retryable: true },
    ],
  ])('given %s', async (_, run, input, error) => {
    const { runner, sink } = bench(handler(run));
    const delivery = taskDelivery({ input });
    runner.deliver(delivery);
    await settle();
    expect(sink.sent).toEqual([failed(error)]);
    expect(delivery.log).toEqual(['ack']);
  });

  it('given an output that the server does not take: a failure that says so', async () => {
    const { runner, sink } = bench(handler(() => ({ doubled: 1 })));
    sink.refuse = (body) => {
      if (body.kind === 'task.succeeded') {
        throw new MillraceError('MR_PAYLOAD_TOO_LARGE', 'the result has 2 bytes, the server takes 1');
      }
    };
    const delivery = taskDelivery();
    runner.deliver(delivery);
    await settle();
    const message = 'output of h: the result has 2 bytes, the server takes 1';
    expect(sink.sent).toEqual([failed({ code: 'MR_PAYLOAD_TOO_LARGE', message, retryable: false })]);
    expect(delivery.log).toEqual(['ack']);
  });

  it('given a task for a handler whose name differs in dots: a failure that says so', async () => {
    const { runner, sink } = bench(handler(() => ({ doubled: 1 })));
    runner.deliver(taskDelivery({ handler: 'h.x' }));
    await settle();
    expect(sink.sent.at(-1)?.body).toMatchObject({ error: { code: 'MR_HANDLER_MISSING', retryable: false } });
  });

  it.each([
    ['that is not JSON', 'hello', 'MR_NOT_JSON'],
    ['that is JSON but no task', '{"v":1}', 'MR_INPUT_INVALID'],
  ])('given a message %s: a dead letter, and off the queue', async (_, data, code) => {
    const { runner, sink } = bench(handler(() => ({ doubled: 1 })));
    const delivery = new FakeDelivery(data, 7);
    runner.deliver(delivery);
    await settle();
    expect(sink.buried.map(({ seq, code: c }) => [seq, c])).toEqual([[7, code]]);
    expect([delivery.log, sink.sent]).toEqual([['term'], []]);
  });
});

describe('how many at once', () => {
  it('given more than the concurrency: the rest waits its turn, kept alive at a third of the ack wait (W6)', async () => {
    const gates = [deferred<{ doubled: number }>(), deferred<{ doubled: number }>()];
    const order: number[] = [];
    const registered = handler(
      ({ n }) => {
        order.push(n);
        return gates[n]?.promise ?? { doubled: 0 };
      },
      { concurrency: 1 },
    );
    const { runner, timers } = bench(registered);
    const [first, second] = [taskDelivery({ input: { n: 0 } }), taskDelivery({ runId: 'r2', input: { n: 1 } }, 2)];
    runner.deliver(first);
    runner.deliver(second);
    expect([runner.free, runner.running, order]).toEqual([0, 1, []]);
    timers.advance(10_000);
    expect([first.log, second.log]).toEqual([['working'], ['working']]);
    gates[0]?.resolve({ doubled: 0 });
    await settle();
    expect(order).toEqual([0, 1]);
    gates[1]?.resolve({ doubled: 0 });
    await settle();
    expect([runner.free, first.log, second.log]).toEqual([1, ['working', 'ack'], ['working', 'ack']]);
  });

  it('given an attempt that ended: it is not kept alive any more (W6, negative twin)', async () => {
    const { runner, timers } = bench(handler(() => ({ doubled: 1 })));
    const delivery = taskDelivery();
    runner.deliver(delivery);
    await settle();
    timers.advance(60_000);
    expect(delivery.log).toEqual(['ack']);
  });
});

describe('the drain', () => {
  it('given attempts that end in time: they are reported, what waits is given back', async () => {
    const gate = deferred<{ doubled: number }>();
    const { runner } = bench(handler(() => gate.promise, { concurrency: 1 }));
    const [first, second] = [taskDelivery(), taskDelivery({ runId: 'r2' }, 2)];
    runner.deliver(first);
    runner.deliver(second);
    await settle();
    const drained = runner.drain(1_000);
    gate.resolve({ doubled: 2 });
    await drained;
    expect([first.log, second.log, runner.free]).toEqual([['ack'], ['nak'], 0]);
  });

  it('given an attempt past the deadline: aborted, given back, not reported', async () => {
    const signals: AbortSignal[] = [];
    const { runner, sink, timers } = bench(
      handler((_, ctx) => {
        signals.push(ctx.signal);
        return new Promise(() => undefined);
      }),
    );
    const delivery = taskDelivery();
    runner.deliver(delivery);
    await settle();
    const drained = runner.drain(1_000);
    timers.advance(1_000);
    await drained;
    timers.advance(10_000);
    await settle();
    expect(signals.map((signal) => signal.aborted)).toEqual([true]);
    expect(delivery.log).toEqual(['nak']);
    expect(sink.sent).toEqual([STARTED]);
    expect(timers.pending).toBe(0);
  });

  it('given a delivery during the drain: given back at once', async () => {
    const { runner } = bench(handler(() => ({ doubled: 1 })));
    await runner.drain(1_000);
    const delivery = taskDelivery();
    runner.deliver(delivery);
    await settle();
    expect(delivery.log).toEqual(['nak']);
  });
});

describe('the context', () => {
  it('given an attempt: tells the handler what it is', async () => {
    const seen: unknown[] = [];
    const { runner } = bench(
      handler((input, { log, signal, trace, fail, working, heartbeat, ...rest }) => {
        working();
        seen.push(
          input,
          rest,
          signal.aborted,
          typeof log.info,
          typeof trace.traceparent,
          typeof fail,
          typeof heartbeat,
        );
        return { doubled: 1 };
      }),
    );
    const delivery = taskDelivery();
    runner.deliver(delivery);
    await settle();
    const rest = { workflow: 'w', runId: 'r1', step: 's', attempt: 1, idempotencyKey: 'r1/s', nats: 'the door' };
    expect(seen).toEqual([{ n: 1 }, rest, false, 'function', 'string', 'function', 'function']);
    expect(delivery.log).toEqual(['working', 'ack']);
  });
});
