import { describe, expect, it } from 'vitest';
import { Holding } from '../../../src/drivers/holding.ts';

describe('what is in hand', () => {
  it('is due from the second tick on, at every tick, until it is let go', () => {
    const holding = new Holding<string>();
    holding.take('a');
    expect(holding.tick()).toEqual([]);
    holding.take('b');
    expect(holding.tick()).toEqual(['a']);
    expect(holding.tick()).toEqual(['a', 'b']);
    holding.release('a');
    expect(holding.tick()).toEqual(['b']);
    holding.release('b');
    expect(holding.tick()).toEqual([]);
  });

  it('is never due when it is let go within a tick', () => {
    const holding = new Holding<string>();
    holding.take('a');
    holding.release('a');
    expect([holding.tick(), holding.tick()]).toEqual([[], []]);
  });
});
