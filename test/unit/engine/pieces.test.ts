/** The pure pieces around the controller, each with the twin that shows that it can say no. */
import { describe, expect, it } from 'vitest';
import { newRun, type RunState } from '../../../src/engine/index.ts';
import { DeliveryChain } from '../../../src/engine/journal/chain.ts';
import { giveBackMs } from '../../../src/engine/journal/give-back.ts';
import { stillWanted, withoutMomentaryTimers } from '../../../src/engine/run/commands-again.ts';
import { judgeExhausted, parseAdvisory } from '../../../src/engine/run/exhausted.ts';
import { KnownRuns } from '../../../src/engine/run/known-runs.ts';
import type { PlacedCommand } from '../../../src/engine/run/ports.ts';
import { consequenceOf } from '../../../src/engine/run/refusal.ts';
import { decideTrigger, type TriggerMessage } from '../../../src/engine/run/trigger.ts';
import { MillraceError, runIdOf, runIdOfKey } from '../../../src/kernel/index.ts';
import { define, workerStep } from '../../kit/workflows.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('DeliveryChain', () => {
  const fact = (deliverySeq: number, seq: number, deliveries = 1) => ({ deliverySeq, seq, deliveries });

  it('C1 knows of everything since the first delivery it saw', () => {
    const chain = new DeliveryChain();
    expect([chain.observe(fact(10, 100)), chain.ownSince]).toEqual([false, 99]);
    expect([chain.observe(fact(11, 105)), chain.ownSince]).toEqual([true, 99]);
  });

  it('starts from nothing missed when the consumer starts with it', () => {
    const chain = new DeliveryChain();
    chain.observe(fact(1, 40));
    expect(chain.ownSince).toBe(0);
  });

  it('forgets at a gap: a delivery went elsewhere', () => {
    const chain = new DeliveryChain();
    chain.observe(fact(1, 40));
    expect([chain.observe(fact(3, 42)), chain.ownSince]).toEqual([false, 41]);
  });

  it('learns nothing from a redelivery, whose first delivery may have been long ago', () => {
    const chain = new DeliveryChain();
    chain.observe(fact(10, 7, 2));
    expect(chain.ownSince).toBe(Number.POSITIVE_INFINITY);
    chain.observe(fact(11, 50));
    expect(chain.ownSince).toBe(49);
  });

  it('C2 needs nothing of the past once all of it is acknowledged, and asks only when it is worth it', () => {
    const chain = new DeliveryChain();
    for (let i = 0; i < 20; i++) chain.observe(fact(10 + i, 100 + i));
    expect(chain.wantsFloor).toBe(true);
    chain.settle(98, 99);
    chain.settle(99, 12); // an answer to a question of an earlier chain
    expect(chain.restAcked).toBe(false);
    chain.settle(99, 99);
    expect([chain.ownSince, chain.restAcked, chain.wantsFloor]).toEqual([99, true, false]);
    chain.reset();
    expect([chain.ownSince, chain.restAcked]).toEqual([Number.POSITIVE_INFINITY, false]);
  });
});

describe('KnownRuns', () => {
  const run = (settled: number) => ({ state: newRun('w', 'r'), settled });

  const facts = (ownSince: number, more = {}) => ({ ownSince, restAcked: false, fresh: false, ...more });

  it('K3 needs a look-up exactly when inputs above the settled one may be elsewhere, or the run is doubtful', () => {
    const known = new KnownRuns(10);
    expect(known.needsLookUp('a', 0, facts(0))).toBe(false);
    expect(known.needsLookUp('a', 5, facts(6))).toBe(true);
    expect(known.needsLookUp('a', 6, facts(6))).toBe(false);
    // What others acknowledged is in a log just read, not in a memory.
    expect(known.needsLookUp('a', 5, facts(6, { restAcked: true }))).toBe(true);
    expect(known.needsLookUp('a', 5, facts(6, { restAcked: true, fresh: true }))).toBe(false);
  });

  it('K2 doubts a run until a look-up from above what was given back', () => {
    const known = new KnownRuns(10);
    known.set('a', run(6));
    known.doubt('a', 7);
    expect([known.get('a'), known.needsLookUp('a', 6, facts(0))]).toEqual([undefined, true]);
    known.trust('a', 6);
    expect(known.needsLookUp('a', 6, facts(0))).toBe(true);
    known.trust('a', 7);
    expect(known.needsLookUp('a', 6, facts(0))).toBe(false);
  });

  it('keeps the runs used last', () => {
    const known = new KnownRuns(2);
    known.set('a', run(1));
    known.set('b', run(2));
    known.set('a', run(3));
    known.set('c', run(4));
    expect([known.get('a')?.settled, known.get('b'), known.get('c')?.settled]).toEqual([3, undefined, 4]);
  });

  it('lets go of a run that has ended, and keeps its doubts', () => {
    const known = new KnownRuns(10);
    known.set('a', run(1));
    known.set('a', { state: { ...newRun('w', 'r'), status: 'completed' }, settled: 2 });
    expect([known.get('a'), known.needsLookUp('a', 2, facts(0))]).toEqual([undefined, false]);
    known.doubt('a', 3);
    known.set('a', { state: { ...newRun('w', 'r'), status: 'failed' }, settled: 2 });
    expect(known.needsLookUp('a', 2, facts(0))).toBe(true);
  });

  it('doubts everything so far when it can no longer name each doubt', () => {
    const known = new KnownRuns(2);
    for (const [i, key] of ['a', 'b', 'c'].entries()) known.doubt(key, 10 + i);
    expect(known.needsLookUp('never seen', 11, facts(0))).toBe(true);
    expect(known.needsLookUp('never seen', 12, facts(0))).toBe(false);
  });
});

describe('commands sent again', () => {
  const task = (attempt: number): PlacedCommand => ({
    index: 0,
    command: { kind: 'task', queue: 'q', handler: 'h', step: 's', attempt, input: null, idempotencyKey: 'k' },
  });
  const timer = (kind: 'timer' | 'timer.cancel', index = 0): PlacedCommand => ({
    index,
    command: kind === 'timer' ? { kind, timer: 't', at: 5 } : { kind, timer: 't' },
  });
  const state = (change: Partial<RunState>): RunState => ({ ...newRun('w', 'r'), status: 'running', ...change });
  const step = (status: 'running' | 'completed', attempt: number) => ({
    s: { name: 's', status, attempt, failures: 0, lost: 0, flows: {} },
  });

  it('hands a task out again only while that attempt is out', () => {
    expect(stillWanted([task(1)], state({ steps: step('running', 1) }))).toHaveLength(1);
    expect(stillWanted([task(1)], state({ steps: step('running', 2) }))).toHaveLength(0);
    expect(stillWanted([task(1)], state({ steps: step('completed', 1) }))).toHaveLength(0);
  });

  it('sets a timer again only while it is waited for, and cancels only what is not', () => {
    expect(stillWanted([timer('timer')], state({ timers: { t: 6 } })), 'it was moved since').toHaveLength(0);
    expect(stillWanted([timer('timer')], state({ timers: { t: 5 } }))).toHaveLength(1);
    expect(stillWanted([timer('timer')], state({}))).toHaveLength(0);
    expect(stillWanted([timer('timer.cancel')], state({}))).toHaveLength(1);
    expect(stillWanted([timer('timer.cancel')], state({ timers: { t: 5 } }))).toHaveLength(0);
  });

  it('leaves out a timer that its own entry cancels, and keeps one that is cancelled and set anew', () => {
    expect(withoutMomentaryTimers([timer('timer', 0), timer('timer.cancel', 1)])).toEqual([]);
    const anew = [timer('timer.cancel', 0), timer('timer', 1)];
    expect(withoutMomentaryTimers(anew)).toEqual(anew);
  });
});

describe('what is too large', () => {
  const error = new MillraceError('MR_PAYLOAD_TOO_LARGE', 'too big', { hint: 'smaller' });
  const running: RunState = { ...newRun('w', 'r'), status: 'running' };

  it('fails the attempt whose result does not fit', () => {
    const body = { v: 1, kind: 'task.succeeded', step: 's', attempt: 2, output: 'x' } as const;
    expect(consequenceOf(running, body, error)).toEqual({
      ...{ v: 1, kind: 'task.failed', step: 's', attempt: 2 },
      error: { code: 'MR_PAYLOAD_TOO_LARGE', message: 'too big', hint: 'smaller', retryable: false, lost: false },
    });
  });

  it('cancels a run that could never go on, and leaves one alone that has ended or never began', () => {
    const body = { v: 1, kind: 'timer', timer: 'sleep/nap/1' } as const;
    expect(consequenceOf(running, body, error)).toMatchObject({
      kind: 'cancel',
      reason: 'MR_PAYLOAD_TOO_LARGE: too big',
    });
    expect(consequenceOf({ ...running, status: 'completed' }, body, error)).toBeUndefined();
    expect(consequenceOf(newRun('w', 'r'), body, error)).toBeUndefined();
  });
});

describe('decideTrigger', () => {
  const trigger = { name: 't', stream: 'S', subject: 's.*', when: 'payload.n > 1 && subject == "s.x"' };
  const definition = define('w', [workerStep('a')], { triggers: [trigger] });
  const message = (body: string, headers = {}): TriggerMessage => ({
    ...{ stream: 'S', sequence: 7, subject: 's.x', storedAt: 5, headers },
    data: encode(body),
  });

  it('names the run by the message, or by the key', () => {
    expect(decideTrigger(definition, trigger, message('{"n":2}'))).toMatchObject({
      ...{ kind: 'start', runId: runIdOf('w', 't', 'S', 7) },
      body: {
        ...{ kind: 'start', digest: definition.digest, payload: { n: 2 } },
        source: { stream: 'S', sequence: 7, subject: 's.x', trigger: 't', storedAt: 5 },
      },
    });
    const keyed = { ...trigger, key: 'string(payload.id)' };
    expect(decideTrigger(definition, keyed, message('{"n":2,"id":9}'))).toMatchObject({ runId: runIdOfKey('w', '9') });
  });

  it('ignores what does not meet the condition, and buries what cannot be judged', () => {
    expect(decideTrigger(definition, trigger, message('{"n":1}'))).toEqual({ kind: 'ignore' });
    const code = (body: string, more = {}): string => {
      const decision = decideTrigger(definition, { ...trigger, ...more }, message(body));
      return decision.kind === 'dead' ? decision.error.code : decision.kind;
    };
    expect(code('{')).toBe('MR_NOT_JSON');
    expect(code('{"m":1}')).toBe('MR_EXPRESSION');
    expect(code('{"n":2}', { key: 'payload' })).toBe('MR_EXPRESSION');
    expect(code(`{"n":2,"deep":${'['.repeat(300)}${']'.repeat(300)}}`)).toBe('MR_INPUT_INVALID');
  });

  it('continues the trace of the message, and keeps a decision not to sample', () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00';
    const decision = decideTrigger(definition, trigger, message('{"n":2}', { traceparent, tracestate: 'a=b' }));
    if (decision.kind !== 'start') throw new Error(decision.kind);
    const { span, body } = decision;
    expect(span).toMatchObject({ parentSpanId: 'b7ad6b7169203331', sampled: false });
    expect(body).toMatchObject({
      trace: { traceparent: `00-0af7651916cd43dd8448eb211c80319c-${span.spanId}-00`, tracestate: 'a=b' },
    });
  });
});

describe('deliveries exhausted', () => {
  const advisory = (stream: string, consumer: string) => ({ stream, consumer, sequence: 3, deliveries: 20 });
  const nothing = encode('x');

  it('reads the advisory of the server, and nothing else', () => {
    const text =
      '{"type":"io.nats.jetstream.advisory.v1.max_deliver","stream":"S","consumer":"C","stream_seq":3,"deliveries":5}';
    expect(parseAdvisory(text)).toEqual({ stream: 'S', consumer: 'C', sequence: 3, deliveries: 5 });
    expect(parseAdvisory('{"stream":"S"}')).toBeUndefined();
    expect(parseAdvisory('hello')).toBeUndefined();
  });

  it('finds the run of an input and the workflow of a trigger, also when names hold underscores', () => {
    const trigger = { name: 'b_c', stream: 'SRC', subject: 's' };
    const owner = define('a', [workerStep('x')], { triggers: [trigger] });
    const twin = define('a_b', [workerStep('x')], { triggers: [{ ...trigger, name: 'c', stream: 'OTHER' }] });
    const judge = (stream: string, consumer: string, subject: string) =>
      judgeExhausted(advisory(stream, consumer), { subject, data: nothing }, [twin, owner]);
    expect(judge('WF_a', 'controller', 'wf.a.in.r1')).toMatchObject({
      kind: 'input',
      workflow: 'a',
      runId: 'r1',
      remove: false,
    });
    expect(judge('SRC', 'TRIG_a_b_c', 's')).toMatchObject({ kind: 'trigger', workflow: 'a', id: 'SRC-3' });
    expect(judge('WF_a', 'somebody', 'wf.a.in.r1')).toBeUndefined();
    expect(judge('SRC', 'somebody', 's')).toBeUndefined();
  });
});

describe('giveBackMs', () => {
  it('doubles from 200 ms to 30 s, however often', () => {
    expect([1, 2, 3, 8, 9, 1_000_000].map(giveBackMs)).toEqual([200, 400, 800, 25_600, 30_000, 30_000]);
  });
});
