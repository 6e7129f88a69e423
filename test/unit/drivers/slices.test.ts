import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { PER_TURN, Slices } from '../../../src/drivers/index.ts';

const BURST = 2 * PER_TURN + 5;
const burst = Array.from({ length: BURST }, (_, i) => i);

describe('slices (L1)', () => {
  it('begin what came in a burst in order, so many per turn of the event loop', async () => {
    const begun: number[] = [];
    const slices = new Slices<number>({ begin: (one) => void begun.push(one), room: () => true });
    for (const one of burst) slices.push(one);
    const seen = [begun.length];
    while (slices.waiting > 0) {
      await turn();
      seen.push(begun.length);
    }
    expect(seen).toEqual([PER_TURN, 2 * PER_TURN, BURST]);
    expect(begun).toEqual(burst);
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
