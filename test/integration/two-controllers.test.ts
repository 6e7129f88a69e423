/**
 * Two controllers on the same streams, random redelivery, and one of them gone in the middle: the log of every run must
 * read as if one controller had done it all. The seed is printed; SEED=<n> repeats a run's choices.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NatsDoor } from '../../src/drivers/index.ts';
import {
  Controller,
  decide,
  evolveEntry,
  type InputBody,
  type InputDelivery,
  isEnded,
  type Journal,
  newRun,
  openJournal,
  openOutbox,
  parseInput,
  type RunState,
  type StoredEntry,
  startController,
} from '../../src/engine/index.ts';
import { CONTROLLER_CONSUMER, STREAMS, workflowStream } from '../../src/kernel/index.ts';
import type { DefinitionStore } from '../../src/manifests/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { answering } from '../kit/delivery.ts';
import { define, type NatsKit, recorder, tinyWorker, waitFor, withNats, workerStep } from '../kit/index.ts';

const RUNS = 200;
const STEPS = ['a', 'b', 'c'];
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9));

let kit: NatsKit;
let door: NatsDoor;
let journal: Journal;

beforeAll(async () => {
  kit = await withNats();
  door = await kit.door();
  journal = openJournal(door);
});
afterAll(() => kit?.stop());

/** Chance that repeats (mulberry32). */
function chance(from: number): () => number {
  let state = from;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const steps = (workflow: string) => define(workflow, [workerStep('a'), workerStep('b', ['a']), workerStep('c', ['b'])]);

/** What a controller that died held comes back after 3 seconds instead of 30. */
async function prepare(definition: ReturnType<typeof steps>): Promise<DefinitionStore> {
  const store = await kit.prepare([definition]);
  const ack_wait = 3_000_000_000;
  await door.jsm.consumers.update(workflowStream(definition.name), CONTROLLER_CONSUMER, { ack_wait });
  return store;
}

async function startAll(workflow: string, digest: string): Promise<{ workflow: string; runId: string }[]> {
  const runs = Array.from({ length: RUNS }, (_, i) => ({ workflow, runId: `r${i}` }));
  await Promise.all(
    runs.map(({ runId }) =>
      journal.send(
        { workflow, runId },
        { v: 1, kind: 'start', digest, payload: { n: runId } },
        { msgId: `start:${runId}` },
      ),
    ),
  );
  return runs;
}

/** A controller whose deliveries are now and then handled without being acknowledged, as if the ack were lost. */
async function forgetful(definitions: DefinitionStore, workflow: string, random: () => number) {
  const own = await kit.door('forgetful');
  const mine = openJournal(own);
  const outbox = openOutbox({ door: own, journal: mine, definitions, telemetry: noTelemetry });
  const seen = recorder();
  const clock = { now: () => Date.now(), sleep: async () => undefined };
  const controller = new Controller({ journal: mine, outbox, definitions, clock, telemetry: seen.telemetry });
  const consumption = await mine.consume(workflow, (delivery: InputDelivery) => {
    const lost = random() < 0.2;
    return controller.handle(answering(delivery, { ack: () => (lost ? delivery.nak(5) : delivery.ack()) }));
  });
  await waitFor('that its consumer is bound', () => consumption.bound);
  const applied = (): number => seen.counted('millrace_engine_inputs_total', { outcome: 'applied' });
  return { door: own, seen, applied, stop: () => consumption.stop() };
}

/** The log must be what one controller alone would have written: every decision follows from its input and the state. */
async function expectFlawless(
  run: { workflow: string; runId: string },
  entries: readonly StoredEntry[],
  definition: ReturnType<typeof steps>,
): Promise<RunState> {
  const inputs = new Map<number, { at: number; body: InputBody }>();
  for (const { seq, at, data } of await journal.inputsBetween(run, 0, Number.MAX_SAFE_INTEGER)) {
    const parsed = parseInput(data);
    if (parsed.ok) inputs.set(seq, { at, body: parsed.value });
  }
  const causes = entries.map(({ cause }) => cause);
  expect(causes).toEqual([...new Set(causes)].sort((x, y) => x - y));
  let state = newRun(run.workflow, run.runId);
  for (const entry of entries) {
    const input = inputs.get(entry.cause);
    if (input === undefined)
      throw new Error(`${run.runId}: entry ${entry.seq} names input ${entry.cause}, which is none`);
    expect(entry.at).toBe(input.at);
    expect(decide(definition, state, { seq: entry.cause, ...input })).toEqual(entry.transitions);
    state = evolveEntry(state, entry);
  }
  // No gap: an input without an entry changed nothing at its place.
  for (const [seq, input] of inputs) {
    if (causes.includes(seq)) continue;
    const before = entries.filter(({ cause }) => cause < seq).reduce(evolveEntry, newRun(run.workflow, run.runId));
    expect(decide(definition, before, { seq, ...input })).toEqual([]);
  }
  return state;
}

async function allEnded(runs: readonly { workflow: string; runId: string }[]) {
  return Promise.all(
    runs.map((run) =>
      waitFor(
        `the end of ${run.runId} (seed ${seed})`,
        async () => {
          const entries = await journal.entries(run).catch(() => []);
          const state = entries.reduce(evolveEntry, newRun(run.workflow, run.runId));
          return isEnded(state) ? { run, entries } : undefined;
        },
        90_000,
      ),
    ),
  );
}

describe(`two controllers (seed ${seed})`, () => {
  it(`${RUNS} runs end exactly once, under lost acks and with one controller killed in the middle`, async () => {
    const definition = steps('shared');
    const definitions = await prepare(definition);
    const random = chance(seed);
    let doomed: Awaited<ReturnType<typeof forgetful>> | undefined;
    let killedAt: number | undefined;
    let results = 0;
    const worker = await tinyWorker({
      door,
      work: (task) => {
        // A third of all steps are done. What it has applied is counted when its events are stored, which takes a while.
        if (++results >= RUNS && killedAt === undefined && doomed !== undefined && doomed.applied() > 0) {
          killedAt = results;
          // In-process kill: the connection goes, with it every ack, nak and append under way.
          void doomed.door.nc.close();
        }
        return { step: task.step };
      },
    });
    doomed = await forgetful(definitions, 'shared', random);
    const survivor = await forgetful(definitions, 'shared', random);
    const runs = await startAll('shared', definition.digest);
    const done = await allEnded(runs);
    for (const { run, entries } of done) {
      const state = await expectFlawless(run, entries, definition);
      expect(state.status).toBe('completed');
      const ends = entries.flatMap(({ transitions }) => transitions.filter(({ type }) => type === 'RunCompleted'));
      expect(ends).toHaveLength(1);
    }
    // Both took part, one was killed in the middle, and the redeliveries were answered from the log.
    expect(doomed.applied()).toBeGreaterThan(0);
    expect(survivor.applied()).toBeGreaterThan(0);
    expect(killedAt).toBeLessThan(RUNS * STEPS.length);
    expect(survivor.seen.counted('millrace_engine_inputs_total', { outcome: 'again' })).toBeGreaterThan(0);
    // Effects once: message ids kept every task to one delivery.
    const attempts = worker.begun.map(({ runId, step, attempt }) => `${runId}/${step}/${attempt}`);
    expect(new Set(attempts).size).toBe(RUNS * STEPS.length);
    expect(attempts).toHaveLength(RUNS * STEPS.length);
    await survivor.stop();
    await worker.stop();
  });

  it('two services share the work, and the server is killed and restarted in the middle', async () => {
    const definition = steps('restart');
    const definitions = await prepare(definition);
    let results = 0;
    let restarted: Promise<void> | undefined;
    const worker = await tinyWorker({
      door,
      ackWaitMs: 3_000,
      work: () => {
        if (++results === RUNS) restarted = kit.server.kill().then(() => kit.server.restart());
        return null;
      },
    });
    const telemetry = noTelemetry;
    const services = await Promise.all(
      ['one', 'two'].map(async (name) => startController({ door: await kit.door(name), definitions, telemetry })),
    );
    const runs = await startAll('restart', definition.digest);
    const done = await allEnded(runs);
    await restarted;
    for (const { run, entries } of done) {
      expect((await expectFlawless(run, entries, definition)).status).toBe('completed');
    }
    const { state } = await door.jsm.streams.info(STREAMS.tasks);
    expect(state.messages).toBe(0);
    await Promise.all(services.map((service) => service.stop()));
    await worker.stop();
  });
});
