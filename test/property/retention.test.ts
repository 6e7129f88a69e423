/**
 * Retention against a stream made by chance: runs start, end, are retried, pinned and found again while sweeps, two at a time, read and
 * purge, and die at any call. What may be purged is judged at each purge from the stream's whole past, not from what the sweeps know.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RetentionPolicy } from '../../src/engine/index.ts';
import { dueAt, type Ended, type SeenMessage } from '../../src/storage/ledger.ts';
import { type RetentionStore, Sweep } from '../../src/storage/sweep.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';

const HOUR = 3_600_000;

interface Life {
  status: 'unstarted' | 'open' | Ended;
  endedAt: number;
  lastAt: number;
  /** Sequences of what is stored of it. */
  readonly stored: Set<number>;
}

/** A stream, what its runs have gone through, and a store over it that checks each removal. */
class Stream {
  now = 1_700_000_000_000;
  readonly lives = new Map<string, Life>();
  readonly pinned = new Set<string>();
  readonly messages = new Map<number, SeenMessage>();
  readonly removed = new Set<string>();
  readonly wrong: string[] = [];
  /** Calls until the process dies. */
  fuse = Number.POSITIVE_INFINITY;
  /** Happens at the next question for a last entry: somebody is quicker. */
  meanwhile: (() => void) | undefined;
  #seq = 0;
  readonly #policy: RetentionPolicy;

  constructor(policy: RetentionPolicy) {
    this.#policy = policy;
  }

  life(runId: string): Life {
    const known = this.lives.get(runId);
    if (known !== undefined) return known;
    const life: Life = { status: 'unstarted', endedAt: 0, lastAt: 0, stored: new Set() };
    this.lives.set(runId, life);
    return life;
  }

  put(runId: string, log?: SeenMessage['log'], object = false): void {
    const seq = ++this.#seq;
    const life = this.life(runId);
    const objects = object ? [`${runId}/${seq}`] : [];
    this.messages.set(seq, {
      ...{ seq, at: this.now, runId, bytes: 10, objects },
      ...(log === undefined ? {} : { log }),
    });
    life.stored.add(seq);
    life.lastAt = this.now;
    if (log?.started === true) life.status = 'open';
    if (log?.end === 'open') life.status = 'open';
    else if (log?.end !== undefined) Object.assign(life, { status: log.end, endedAt: this.now });
  }

  mayGo(runId: string): boolean {
    const life = this.life(runId);
    if (this.pinned.has(runId) || life.status === 'open') return false;
    if (life.status === 'unstarted') return life.lastAt + 2 * HOUR <= this.now;
    return (dueAt(this.#policy, life.status, life.endedAt) ?? Number.POSITIVE_INFINITY) <= this.now;
  }

  #remove(seq: number): void {
    const message = this.messages.get(seq);
    if (message === undefined) return;
    const { runId } = message;
    if (!this.mayGo(runId)) this.wrong.push(`message ${seq} of ${runId}, which is ${this.life(runId).status}`);
    this.messages.delete(seq);
    const life = this.life(runId);
    life.stored.delete(seq);
    for (const name of message.objects ?? []) {
      if (!this.removed.has(name)) this.wrong.push(`object ${name} is forgotten, and not removed`);
    }
    if (life.stored.size === 0) this.lives.delete(runId);
  }

  #call(): void {
    if (--this.fuse < 0) throw new Error('died');
  }

  readonly store: RetentionStore = (() => {
    const stream = this;
    return {
      async *read(_workflow: string, after: number, until: number) {
        for (const message of [...stream.messages.values()]) {
          if (message.seq <= after) continue;
          if (message.at > until) return;
          stream.#call();
          yield message;
        }
      },
      async last(_workflow: string, runId: string, of: 'log' | 'any') {
        stream.#call();
        stream.meanwhile?.();
        stream.meanwhile = undefined;
        return (
          [...stream.messages.values()].filter((m) => m.runId === runId && (of === 'any' || m.log !== undefined)).at(-1)
            ?.seq ?? 0
        );
      },
      async ackFloor() {
        return stream.#seq;
      },
      async countRuns() {
        return new Set([...stream.messages.values()].filter((m) => m.log !== undefined).map((m) => m.runId)).size;
      },
      async purgeBelow(_workflow: string, floor: number) {
        for (const seq of [...stream.messages.keys()]) {
          if (seq >= floor) break;
          if (seq % 7 === 0) stream.#call(); // in pieces
          stream.#remove(seq);
        }
      },
      async purgeRun(_workflow: string, runId: string, upTo = Number.POSITIVE_INFINITY) {
        stream.#call();
        for (const { seq, ...message } of [...stream.messages.values()])
          if (message.runId === runId && seq <= upTo) stream.#remove(seq);
      },
      async removeObjects(names: readonly string[]) {
        for (const name of names) {
          stream.#call();
          stream.removed.add(name);
        }
      },
    };
  })();
}

const policy: fc.Arbitrary<RetentionPolicy> = fc.record(
  {
    completedMs: fc.constantFrom(HOUR, 2 * HOUR),
    failedMs: fc.constantFrom(HOUR, 2 * HOUR),
    cancelledMs: fc.constant(2 * HOUR),
  },
  { requiredKeys: ['cancelledMs'] },
);

const action = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('start' as const), run: fc.nat(40), object: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('input' as const), run: fc.nat(40), object: fc.boolean() }) },
  {
    weight: 5,
    arbitrary: fc.record({
      ...{ do: fc.constant('end' as const), run: fc.nat(40) },
      how: fc.constantFrom<Ended>('completed', 'failed', 'cancelled'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('retry' as const), run: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('pin' as const, 'unpin' as const), run: fc.nat(40) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: HOUR }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ do: fc.constant('sweep' as const), who: fc.nat(1) },
      dies: fc.option(fc.nat(60), { nil: undefined }),
      meanwhile: fc.option(fc.nat(40), { nil: undefined }),
    }),
  },
);
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

const retry = (stream: Stream, runId: string): void => {
  const { status } = stream.life(runId);
  if (status === 'failed' || status === 'cancelled') stream.put(runId, { started: false, end: 'open' });
};

async function act(stream: Stream, sweeps: Sweep[], one: Action, fresh: () => Sweep): Promise<void> {
  if (one.do === 'wait') return void (stream.now += one.ms);
  if (one.do === 'sweep') {
    stream.fuse = one.dies ?? Number.POSITIVE_INFINITY;
    const { meanwhile } = one;
    stream.meanwhile = meanwhile === undefined ? undefined : () => retry(stream, `r${meanwhile}`);
    try {
      await sweeps[one.who]?.once();
    } catch (error) {
      if (!(error instanceof Error) || error.message !== 'died') throw error;
      sweeps[one.who] = fresh();
    }
    stream.fuse = Number.POSITIVE_INFINITY;
    return;
  }
  const runId = `r${one.run}`;
  const { status } = stream.life(runId);
  if (one.do === 'pin') stream.pinned.add(runId);
  else if (one.do === 'unpin') stream.pinned.delete(runId);
  else if (one.do === 'input') stream.put(runId, undefined, one.object);
  else if (one.do === 'retry') retry(stream, runId);
  else if (one.do === 'start' && status === 'unstarted') {
    stream.put(runId, undefined, one.object);
    stream.put(runId, { started: true });
  } else if (one.do === 'end' && status === 'open') stream.put(runId, { started: false, end: one.how });
}

describe('retention', () => {
  test('takes what is due, never what stays, whoever dies where', async () => {
    await fc.assert(
      fc.asyncProperty(policy, fc.array(action, { minLength: 20, maxLength: 150 }), async (kept, actions) => {
        const stream = new Stream(kept);
        const pins = { has: (_workflow: string, runId: string) => stream.pinned.has(runId) };
        const fresh = (): Sweep =>
          new Sweep('w', kept, { store: stream.store, pins, telemetry: noTelemetry, now: () => stream.now });
        const sweeps = [fresh(), fresh()];
        for (const one of actions) await act(stream, sweeps, one, fresh);
        expect(stream.wrong).toEqual([]);
        // Rest comes: what is due is gone, what stays is whole.
        stream.pinned.clear();
        stream.now += 5 * HOUR;
        const last = fresh();
        for (let round = 0; round < 3; round++) {
          await last.once();
          stream.now += 120_000;
        }
        expect(stream.wrong).toEqual([]);
        const left = [...stream.lives].filter(([, { stored }]) => stored.size > 0).map(([runId]) => runId);
        expect(left.filter((runId) => stream.mayGo(runId))).toEqual([]);
      }),
      { numRuns: 400 },
    );
  });

  test('the judge can fail: a sweep that believes a run to be completed that was retried is caught', async () => {
    const kept = { failedMs: HOUR, cancelledMs: HOUR };
    const stream = new Stream(kept);
    stream.put('a', { started: true });
    stream.put('a', { started: false, end: 'failed' });
    stream.now += HOUR + 1;
    stream.put('a', { started: false, end: 'open' });
    await stream.store.purgeRun('w', 'a');
    expect(stream.wrong).toHaveLength(3);
  });

  test('keepLast: the last ones stay, however old, and the oldest go first', async () => {
    const kept = { completedMs: HOUR, keepLast: 3 };
    const stream = new Stream(kept);
    for (let n = 0; n < 10; n++) {
      stream.put(`r${n}`, { started: true });
      stream.put(`r${n}`, { started: false, end: 'completed' });
      stream.now += 1_000;
    }
    stream.now += 3 * HOUR;
    const pins = { has: () => false };
    const sweep = new Sweep('w', kept, { store: stream.store, pins, telemetry: noTelemetry, now: () => stream.now });
    expect(await sweep.once()).toMatchObject({ runs: 7 });
    expect([...stream.lives.keys()]).toEqual(['r7', 'r8', 'r9']);
    expect(await sweep.once()).toMatchObject({ runs: 0 });
    stream.put('r10', { started: true });
    expect(await sweep.once()).toMatchObject({ runs: 1 });
    expect([...stream.lives.keys()]).toEqual(['r8', 'r9', 'r10']);
  });
});
