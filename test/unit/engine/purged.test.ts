/** What a process holds in its hand while its run is purged must not begin the run anew: R8 of src/engine/run/controller.ts. */
import { describe, expect, it } from 'vitest';
import {
  Controller,
  type InputBody,
  type InputDelivery,
  MemoryBroker,
  MemoryJournal,
} from '../../../src/engine/index.ts';
import { FunctionHost } from '../../../src/functions/host.ts';
import { processPorts } from '../../../src/functions/process.node.ts';
import { noTelemetry } from '../../../src/telemetry/index.ts';
import { manualClock } from '../../kit/clock.ts';
import { define, workerStep } from '../../kit/workflows.ts';

const run = { workflow: 'w', runId: 'r' };
const definition = define('w', [workerStep('a')], { retention: { completedMs: 120_000 } });
const START: InputBody = { v: 1, kind: 'start', digest: definition.digest, payload: 1, fresh: true };

/** A start that has been in hand for `ageMs`; the stream holds it or, once purged, does not. */
async function inHand(ageMs: number, stored: boolean) {
  const clock = manualClock();
  const journal = new MemoryJournal(new MemoryBroker({ clock, mode: 'manual' }));
  const at = clock.now();
  if (stored) await journal.send(run, START, { msgId: 'start' });
  await clock.advance(ageMs);
  const ends: string[] = [];
  const delivery: InputDelivery = {
    ...{ run, seq: 1, at, headers: {}, data: new TextEncoder().encode(JSON.stringify(START)) },
    ...{ deliveries: 1, contiguous: true, ownSince: 0, restAcked: true },
    ...{ ack: () => void ends.push('ack'), nak: () => void ends.push('nak'), term: () => void ends.push('term') },
    working: () => undefined,
  };
  return { clock, journal, delivery, ends };
}

const CASES = [
  { name: 'purged meanwhile', ageMs: 180_000, stored: false, started: false },
  { name: 'still stored, only late', ageMs: 180_000, stored: true, started: true },
  { name: 'too young to have been purged', ageMs: 1_000, stored: true, started: true },
] as const;

describe('a start that a process has had in hand', () => {
  it.each(CASES)('declared workflow: $name', async ({ ageMs, stored, started }) => {
    const { clock, journal, delivery, ends } = await inHand(ageMs, stored);
    const controller = new Controller({
      ...{ journal, clock, telemetry: noTelemetry },
      outbox: { send: async () => undefined, deadLetter: async () => undefined },
      definitions: { current: async () => definition, byDigest: async () => definition },
    });
    await controller.handle(delivery);
    expect(ends).toEqual(['ack']);
    expect((await journal.entries(run)).length > 0).toBe(started);
  });

  it.each(CASES)('durable function: $name', async ({ ageMs, stored, started }) => {
    const { clock, journal, delivery, ends } = await inHand(ageMs, stored);
    const fn = { name: 'w', input: undefined, run: async () => 'done' };
    const host = new FunctionHost(
      fn,
      {
        ...processPorts,
        ...{ journal, telemetry: noTelemetry, now: () => clock.now() },
        setTimer: async () => undefined,
        ...{ cancelTimer: () => undefined, wake: () => undefined, notify: () => undefined },
        family: { start: async () => {}, close: async () => {}, tell: async () => {} },
        refuse: async () => undefined,
      },
      { worker: 'me' },
    );
    await host.handle(delivery);
    expect(ends).toEqual(['ack']);
    expect((await journal.entries(run)).length > 0).toBe(started);
  });
});
