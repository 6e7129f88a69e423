/**
 * The engine under seeded faults: the same controller that runs in production, on memory ports. Proves R1 to R7 of the
 * controller, K1 to K3 of what it remembers, C1 and C2 of its deliveries and O1 of the outbox: check.ts says how.
 *
 *   SEED=<n> make simulation     one world, again, step by step the same
 *   SEEDS=<n> make simulation    as many worlds, from 1
 */
import { afterAll, describe, expect, test } from 'vitest';
import { define, workerStep } from '../kit/workflows.ts';
import { check } from './check.ts';
import { simulate } from './simulate.ts';

const ONLY = process.env['SEED'];
const COUNT = Number(process.env['SEEDS'] ?? 1_000);
const PER_TEST = 50;
/** What a fresh seed adds: other worlds than yesterday. It is printed, and any of its worlds can be had again. */
const FRESH = ONLY === undefined ? 1_000_000 + Math.floor(Math.random() * 1_000_000_000) : 0;

async function world(seed: number): Promise<number> {
  const again = `seed ${seed}; run it again: SEED=${seed} make simulation`;
  const made = await simulate({ seed }).catch((error: unknown) => {
    throw new Error(`${again}: ${String(error)}`, { cause: error });
  });
  expect(check(made), again).toEqual([]);
  return made.crashes;
}

if (ONLY !== undefined) {
  test(`seed ${ONLY}`, async () => {
    await world(Number(ONLY));
  });
} else {
  describe('worlds by the dozen', () => {
    let crashes = 0;
    const firsts = Array.from({ length: Math.ceil(COUNT / PER_TEST) }, (_, i) => 1 + i * PER_TEST);
    test.each(firsts)(`seeds from %i`, async (first) => {
      for (let seed = first; seed < Math.min(first + PER_TEST, COUNT + 1); seed++) crashes += await world(seed);
    });
    test(`fresh seeds from ${FRESH}`, async () => {
      for (let seed = FRESH; seed < FRESH + PER_TEST; seed++) crashes += await world(seed);
    });
    afterAll(() => {
      console.log(`simulated ${COUNT + PER_TEST} worlds, ${crashes} controllers died; fresh seeds from ${FRESH}`);
      expect(crashes).toBeGreaterThan(COUNT);
    });
  });

  describe('seeds that found something once', () => {
    test.each([[829, 'an older input, redelivered, cleared the doubt about a newer one, and a signal was lost']])(
      '%i: %s',
      async (seed) => {
        await world(seed);
      },
    );
  });

  describe('a controller that dies at each of its calls', () => {
    const chain = define('sim', [
      workerStep('a', [], { timeoutMs: 5_000 }),
      workerStep('b', ['a']),
      { ...workerStep('f', ['a']), action: { kind: 'prefect', deployment: 'f/d', pool: 'p' } },
      { ...workerStep('nap', ['b']), action: { kind: 'sleep', ms: 1_000 } },
    ]);
    test.each([
      ['before', 1],
      ['after', 1],
      ['before', 3],
      ['after', 3],
    ] as const)('%s it, with %i controllers', async (when, controllers) => {
      for (const seed of [1, 2, 3]) {
        for (let call = 1; ; call++) {
          const made = await simulate({ seed, storm: 0, controllers, definition: chain, killAt: { call, when } });
          expect(check(made), `seed ${seed}, death ${when} call ${call}`).toEqual([]);
          if (made.crashes === 0) {
            expect(call).toBeGreaterThan(20);
            break;
          }
        }
      }
    });
  });

  test('the same seed is the same world', async () => {
    const [a, b] = [await simulate({ seed: 42 }), await simulate({ seed: 42 })];
    expect(a.runIds.map((id) => a.log(id))).toEqual(b.runIds.map((id) => b.log(id)));
    expect([a.now, a.crashes, a.gate.opened]).toEqual([b.now, b.crashes, b.gate.opened]);
  });
}
