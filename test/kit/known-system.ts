/** Systems whose times are known, to measure the measuring. Their time is the test's: it passes when the fake clock moves. */
import type { System } from '../../bench/systems/system.ts';

export const elapse = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export function systemOf(rest: Partial<System>): System {
  return {
    ...{ name: 'known', version: '0', durability: 'none', serverPids: [] },
    run: async (steps) => steps,
    stop: async () => undefined,
    ...rest,
  };
}

/** Takes one run at a time; the run numbered `slow` (from 1) takes `stallMs`, the others no time. */
export function stalling(slow: number, stallMs: number): System {
  let last: Promise<void> = Promise.resolve();
  let runs = 0;
  return systemOf({
    run: (steps) => {
      const mine = ++runs;
      last = last.then(() => (mine === slow ? elapse(stallMs) : undefined));
      return last.then(() => steps);
    },
  });
}
