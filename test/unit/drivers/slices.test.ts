import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { MOST, PER_TURN, Slices } from '../../../src/drivers/index.ts';

const BURST = 2 * PER_TURN + 5;
const burst = Array.from({ length: BURST }, (_, i) => i);

describe('slices (L1)', () => {
  /** How many begin in each turn when a turn takes so long. */
  async function turns(count: number, msOf: (turn: number) => number): Promise<readonly number[]> {
    const begun: number[] = [];
    const seen: number[] = [];
    let now = 0;
    const slices = new Slices<number>({ begin: (one) => void begun.push(one), room: () => true, now: () => now });
    for (let i = 0; i < count; i++) slices.push(i);
    for (let before = 0; begun.length > before; ) {
      seen.push(begun.length - before);
      before = begun.length;
      now += msOf(seen.length - 1);
      await turn();
    }
    expect(begun).toEqual(Array.from({ length: count }, (_, i) => i));
    return seen;
  }

  it('begin what came in a burst in order, so many per turn of the event loop', async () => {
    expect(await turns(BURST, () => 7)).toEqual([PER_TURN, PER_TURN, 5]);
  });

  it('begin more in a turn while turns are short, up to a limit, and fewer after a long one', async () => {
    expect(await turns(5 * MOST, () => 1)).toEqual([32, 64, 128, MOST, MOST, MOST, MOST, 32]);
    expect(await turns(300, (one) => (one < 2 ? 1 : 11))).toEqual([32, 64, 128, 64, 12]);
    expect(await turns(BURST, () => 50)).toEqual([PER_TURN, PER_TURN, 5]);
  });

  it('begin no more than there is room for, and what waited when there is some', async () => {
    const begun: number[] = [];
    let room = 3;
    const slices = new Slices<number>({ begin: (one) => void (room-- && begun.push(one)), room: () => room > 0 });
    for (const one of burst) slices.push(one);
    await turn();
    expect([begun.length, slices.waiting]).toEqual([3, BURST - 3]);
    room = 2;
    slices.go();
    expect(begun).toEqual([0, 1, 2, 3, 4]);
  });

  it('begin nothing that was taken out', async () => {
    const begun: number[] = [];
    const slices = new Slices<number>({ begin: (one) => void begun.push(one), room: () => true });
    for (const one of burst) slices.push(one);
    expect(slices.clear()).toEqual(burst.slice(PER_TURN));
    await turn();
    expect(begun).toEqual(burst.slice(0, PER_TURN));
  });
});
