/** The controller over the memory journal, where every fault can be placed: R1 to R7 of src/engine/run/controller.ts. */
import { describe, expect, it } from 'vitest';
import {
  type CommandBatch,
  Controller,
  type DeadLetter,
  type Fault,
  type FaultPoint,
  fold,
  type InputBody,
  MemoryBroker,
  MemoryJournal,
  type Outbox,
} from '../../../src/engine/index.ts';
import { MillraceError } from '../../../src/kernel/index.ts';
import { manualClock } from '../../kit/clock.ts';
import { recorder } from '../../kit/recorder.ts';
import { define, PATIENT, workerStep } from '../../kit/workflows.ts';

const definition = define('w', [
  workerStep('a'),
  { name: 'nap', needs: ['a'], action: { kind: 'sleep', ms: 1_000 }, retry: PATIENT },
  workerStep('b', ['nap']),
]);
const run = { workflow: 'w', runId: 'r' };
const START: InputBody = { v: 1, kind: 'start', digest: definition.digest, payload: { n: 1 } };
const done = (step: string): InputBody => ({ v: 1, kind: 'task.succeeded', step, attempt: 1, output: step });

/** A world of one workflow whose deliveries the test makes itself. */
function world(faults: (point: FaultPoint) => Fault = () => 'none') {
  const clock = manualClock();
  const broker = new MemoryBroker({ clock, mode: 'manual', faults });
  const outside = new MemoryJournal(broker, 'outside');
  /** Receivers that keep one of each id, as the streams do. */
  const tasks = new Map<string, number>();
  const timers = new Set<string>();
  const letters: DeadLetter[] = [];
  let sendFails = 0;
  let events: Promise<void> | undefined;
  const outbox: Outbox = {
    async send({ commands }: CommandBatch) {
      if (commands.every(({ command }) => command.kind === 'event')) await events;
      for (const { command } of commands) {
        if (command.kind === 'task') {
          const id = `${command.step}/${command.attempt}`;
          tasks.set(id, (tasks.get(id) ?? 0) + 1);
        }
        if (command.kind === 'timer') timers.add(command.timer);
        if (command.kind === 'timer.cancel') timers.delete(command.timer);
      }
      if (sendFails-- > 0) throw new MillraceError('MR_NATS', 'no answer');
    },
    deadLetter: async (letter) => void letters.push(letter),
  };
  const definitions = {
    current: async () => definition,
    byDigest: async (_workflow: string, digest: string) => (digest === definition.digest ? definition : undefined),
  };
  const seen = recorder();
  let clients = 0;
  const controller = async (): Promise<string> => {
    const client = `c${++clients}`;
    const journal = new MemoryJournal(broker, client);
    const machine = new Controller({ journal, outbox, definitions, clock, telemetry: seen.telemetry });
    await journal.consume('w', (delivery) => machine.handle(delivery));
    return client;
  };
  return {
    ...{ clock, broker, outside, tasks, timers, letters, seen, controller },
    failNextSends: (n: number) => void (sendFails = n),
    /** Events are stored only when it has resolved. */
    holdEvents: (until: Promise<void>) => void (events = until),
    send: (body: InputBody, msgId = JSON.stringify(body)) => outside.send(run, body, { msgId }),
    log: () => outside.entries(run),
    state: async () => fold('w', 'r', await outside.entries(run)),
    causes: async () => (await outside.entries(run)).map(({ cause }) => cause),
  };
}

describe('one input after another', () => {
  it('R1 stores, sends, acknowledges; an input that changes nothing is acknowledged and leaves no trace', async () => {
    const w = world();
    await w.controller();
    const { seq } = await w.send(START);
    await w.broker.deliver('w', seq);
    expect([...w.tasks]).toEqual([['a/1', 1]]);
    expect(w.broker.openInputs('w')).toEqual([]);
    const late = await w.send({ v: 1, kind: 'timer', timer: 'retry/a/9' });
    await w.broker.deliver('w', late.seq);
    expect([await w.causes(), w.broker.openInputs('w')]).toEqual([[seq], []]);
    expect(w.seen.counted('millrace_engine_inputs_total', { outcome: 'nothing' })).toBe(1);
  });

  it('R1 events hold up the acknowledgement, not the next input of the run', async () => {
    const w = world();
    await w.controller();
    let stored: () => void = () => undefined;
    w.holdEvents(new Promise((resolve) => (stored = resolve)));
    const start = await w.send(START);
    const result = await w.send(done('a'));
    const both = [w.broker.deliver('w', start.seq), w.broker.deliver('w', result.seq)];
    while ((await w.causes()).length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect([...w.tasks, ...w.timers]).toEqual([['a/1', 1], 'sleep/nap/1']);
    expect(w.broker.openInputs('w').map(({ seq }) => seq)).toEqual([start.seq, result.seq]);
    stored();
    await Promise.all(both);
    expect(w.broker.openInputs('w')).toEqual([]);
  });

  it('R3 handles what came before first: a signal sent before, delivered after, is not lost', async () => {
    const w = world();
    await w.controller();
    const early = await w.send({ v: 1, kind: 'signal', name: 'x', payload: 1 });
    const start = await w.send(START);
    await w.broker.deliver('w', start.seq);
    expect(await w.causes()).toEqual([early.seq, start.seq]);
    await w.broker.deliver('w', early.seq);
    expect((await w.state()).signals).toEqual([{ name: 'x', payload: 1 }]);
    expect(await w.causes()).toEqual([early.seq, start.seq]);
  });

  it('R3 an input that was given back is handled before the next one of its run', async () => {
    let refuse = false;
    const w = world(({ op, when }) => (refuse && op === 'append' && when === 'before' ? 'lost' : 'none'));
    await w.controller();
    const start = await w.send(START);
    await w.broker.deliver('w', start.seq);
    const first = await w.send({ v: 1, kind: 'signal', name: 'one', payload: 1 });
    refuse = true;
    await w.broker.deliver('w', first.seq);
    refuse = false;
    expect(w.broker.openInputs('w')).toMatchObject([{ seq: first.seq, out: false, notBefore: w.clock.now() + 200 }]);
    const second = await w.send({ v: 1, kind: 'signal', name: 'two', payload: 2 });
    await w.broker.deliver('w', second.seq);
    expect(await w.causes()).toEqual([start.seq, first.seq, second.seq]);
  });

  it('K3 looks nothing up while all deliveries come here, and does when one went elsewhere', async () => {
    const w = world();
    const [one, two] = [await w.controller(), await w.controller()];
    const start = await w.send(START);
    await w.broker.deliver('w', start.seq, one);
    const a = await w.send({ v: 1, kind: 'signal', name: 'a', payload: null });
    await w.broker.deliver('w', a.seq, one);
    expect(w.seen.counted('millrace_engine_lookups_total')).toBe(0);
    const b = await w.send({ v: 1, kind: 'signal', name: 'b', payload: null });
    await w.broker.deliver('w', b.seq, two);
    const c = await w.send({ v: 1, kind: 'signal', name: 'c', payload: null });
    await w.broker.deliver('w', c.seq, one);
    expect(w.seen.counted('millrace_engine_lookups_total')).toBeGreaterThan(0);
    expect(await w.causes()).toEqual([start.seq, a.seq, b.seq, c.seq]);
  });

  it('R4 sends the commands of a handled input again while the run wants them, and not after', async () => {
    const w = world();
    await w.controller();
    const { seq } = await w.send(START);
    w.failNextSends(1);
    await w.broker.deliver('w', seq);
    expect([...w.tasks, w.broker.openInputs('w').length]).toEqual([['a/1', 1], 1]);
    w.failNextSends(1);
    await w.broker.deliver('w', seq);
    expect([...w.tasks]).toEqual([['a/1', 2]]);
    const { seq: result } = await w.send(done('a'));
    await w.broker.deliver('w', result);
    await w.broker.deliver('w', seq);
    expect([...w.tasks, await w.causes()]).toEqual([
      ['a/1', 2],
      [seq, result],
    ]);
    expect(w.broker.openInputs('w')).toEqual([]);
    // R7
    expect(w.seen.spans.map(({ name }) => name)).toEqual(['step a']);
  });

  it('R5 buries poison and a start whose definition nobody knows', async () => {
    const w = world();
    await w.controller();
    const poison = await w.outside.sendRaw(run, new Uint8Array([255]), {});
    const lost = await w.send({ ...START, digest: '0'.repeat(16) });
    await w.broker.deliver('w', lost.seq);
    await w.broker.deliver('w', poison.seq);
    expect(w.letters.map(({ code, origin }) => [code, origin.sequence])).toEqual([
      ['MR_DEFINITION_MISSING', lost.seq],
      ['MR_NOT_JSON', poison.seq],
    ]);
    expect([await w.log(), w.broker.openInputs('w')]).toEqual([[], []]);
  });

  it('a second controller with an old state is refused by the fence and decides again', async () => {
    let collide = 2;
    const w = world(({ op, when }) => (op === 'append' && when === 'before' && collide-- > 0 ? 'conflict' : 'none'));
    await w.controller();
    const { seq } = await w.send(START);
    await w.broker.deliver('w', seq);
    expect([await w.causes(), w.seen.counted('millrace_engine_conflicts_total')]).toEqual([[seq], 2]);
  });
});

describe('R1 a crash at every point of a run', () => {
  /** Plays the outside: delivers what is open, answers tasks, fires timers, replaces a dead controller. */
  async function play(w: ReturnType<typeof world>): Promise<void> {
    let client = await w.controller();
    await w.send(START);
    for (let round = 0; round < 60; round++) {
      if (w.broker.isDead(client)) client = await w.controller();
      const [open] = w.broker.openInputs('w');
      if (open !== undefined) {
        await w.broker.deliver('w', open.seq, client);
        continue;
      }
      const state = await w.state();
      if (state.status === 'completed') return;
      for (const id of w.tasks.keys()) await w.send(done(id.slice(0, -2)));
      for (const timer of w.timers) await w.send({ v: 1, kind: 'timer', timer });
    }
    throw new Error('the run does not end');
  }

  async function playWith(fault: Fault, at: number): Promise<{ reached: boolean; w: ReturnType<typeof world> }> {
    let points = 0;
    const w = world(({ client }) => (client !== 'outside' && points++ === at ? fault : 'none'));
    await play(w);
    return { reached: points > at, w };
  }

  it.each(['crash', 'lost'] as const)(
    'with %s there, it ends the same and every effect has happened',
    async (fault) => {
      const { w: calm } = await playWith('none', 0);
      const expected = (await calm.log()).map(({ transitions }) => transitions.map(({ type }) => type));
      let at = 0;
      for (;;) {
        const { reached, w } = await playWith(fault, at);
        if (!reached) break;
        const entries = await w.log();
        expect(entries.map(({ transitions }) => transitions.map(({ type }) => type))).toEqual(expected);
        expect(new Set(entries.map(({ cause }) => cause)).size).toBe(entries.length);
        expect([...w.tasks.keys()]).toEqual(['a/1', 'b/1']);
        at++;
      }
      expect(at).toBeGreaterThan(12);
    },
  );
});
