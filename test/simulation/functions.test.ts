/**
 * Durable functions under seeded faults: the same host and executions as in production, on memory ports. Proves F1 to F10.
 *
 *   SEED=<n> npx vitest run --project simulation test/simulation/functions.test.ts     one world, again, the same
 *   SEEDS=<n> …                                                                        as many worlds, from 1
 */
import { afterAll, describe, expect, test } from 'vitest';
import { checkFunctions } from './functions-check.ts';
import type { Op } from './functions-program.ts';
import { simulateFunctions } from './functions-simulate.ts';

const ONLY = process.env['SEED'];
const COUNT = Number(process.env['SEEDS'] ?? 500);
const PER_TEST = 50;
/** What a fresh seed adds: other worlds than yesterday. It is printed, and any of its worlds can be had again. */
const FRESH = 1_000_000 + Math.floor(Math.random() * 1_000_000_000);

async function world(seed: number, deep = true): Promise<number> {
  const again = `seed ${seed}; run it again: SEED=${seed} npx vitest run --project simulation test/simulation/functions.test.ts`;
  const made = await simulateFunctions({ seed, deep }).catch((error: unknown) => {
    throw new Error(`${again}: ${String(error)}`, { cause: error });
  });
  expect(await checkFunctions(made), again).toEqual([]);
  return made.crashes;
}

if (ONLY !== undefined) {
  test(`seed ${ONLY}`, async () => {
    await world(Number(ONLY));
  });
} else {
  describe('worlds of durable functions', () => {
    let crashes = 0;
    const firsts = Array.from({ length: Math.ceil(COUNT / PER_TEST) }, (_, i) => 1 + i * PER_TEST);
    test.each(firsts)('seeds from %i', async (first) => {
      for (let seed = first; seed < Math.min(first + PER_TEST, COUNT + 1); seed++) crashes += await world(seed);
    });
    test(`fresh seeds from ${FRESH}`, async () => {
      for (let seed = FRESH; seed < FRESH + PER_TEST; seed++) crashes += await world(seed);
    });
    afterAll(() => {
      console.log(`simulated ${COUNT + PER_TEST} worlds, ${crashes} hosts died; fresh seeds from ${FRESH}`);
      expect(crashes).toBeGreaterThan(COUNT);
    });
  });

  describe('seeds that found something once', () => {
    test.each([
      [71, 'what was left of an earlier execution acknowledged the lease of a later one'],
      [299, 'a stale execution swallowed a timer that it did not know'],
      [334, 'a signal that came before the start was recorded twice'],
      [1_025, 'a lease was acknowledged when a later claim was made, not when it was stored'],
      [1_465, 'a run that was cancelled while it was recalled ended with a wait open'],
      [1_467, 'a retry that was cancelled at once was taken over after the end'],
      [2_302, 'a run that said it rests, and did not, went on under a lease that others acknowledged'],
      [3_628, 'a signal that waited for a look into the log was recorded by two'],
      [7_187, 'a timer of the process woke a run that was about to rest, under the lease it had given up'],
      [13_932, 'a run rested without its timer: who knew an earlier rest of it acknowledged the lease that told of it'],
    ])('%i: %s', async (seed) => {
      await world(seed, false);
    });
    test.each([
      [33, 'a stale execution swallowed the end of a child that it did not wait for'],
      [54, 'an end that came before the code asked for its child was given to nobody'],
      [481, 'an end that was to be told again was acknowledged by a stale execution'],
    ])('%i: %s', async (seed) => {
      await world(seed);
    });
  });

  const step: Op = { op: 'step', name: 'a', sync: false, fails: 0, fatal: false, caught: false };
  const program: readonly Op[] = [
    {
      op: 'child',
      ops: [{ op: 'signal', name: 'go', timeoutMs: undefined }, step],
      detached: false,
      onClose: 'cancel',
    },
    { op: 'map', step, count: 5, maxParallel: 2, collect: false, failing: -1 },
    { ...step, fails: 1 },
    { op: 'parallel', branches: [[{ ...step, sync: true }], [{ op: 'compute', turns: 2 }, step]] },
    { op: 'sleep', ms: 90_000 },
    { op: 'signal', name: 'go', timeoutMs: 100_000 },
    { op: 'race', between: [step, { op: 'sleep', ms: 1_500 }] },
    { op: 'draw' },
  ];

  describe('a host that dies at each of its calls', () => {
    test.each([
      ['before', 1],
      ['after', 1],
      ['before', 3],
      ['after', 3],
    ] as const)('%s it, with %i hosts', async (when, hosts) => {
      for (const seed of [1, 2, 3]) {
        for (let call = 1; ; call++) {
          const made = await simulateFunctions({ seed, storm: 0, hosts, program, killAt: { call, when } });
          expect(await checkFunctions(made), `seed ${seed}, death ${when} call ${call}`).toEqual([]);
          if (made.crashes === 0) {
            expect(call).toBeGreaterThan(10);
            break;
          }
        }
      }
    });
  });

  test('the same seed is the same world', async () => {
    const [a, b] = [await simulateFunctions({ seed: 42 }), await simulateFunctions({ seed: 42 })];
    expect(a.runIds.map((id) => a.log(id))).toEqual(b.runIds.map((id) => b.log(id)));
    expect([a.now, a.crashes, a.gate.opened]).toEqual([b.now, b.crashes, b.gate.opened]);
  });
}
