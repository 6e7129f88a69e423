/**
 * The rate that a system keeps up: closed loop, for a whole minute after a warm-up, in the state that it will be in from then on (code
 * compiled, streams filled, what has ended being purged). A short burst on an empty server shows more than the system can do for long,
 * and 70 % of that would be an overload.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Load } from './load.ts';

export interface Sustained {
  /** Runs a second over the whole minute. */
  readonly perSecond: number;
  /** The same for each window of it: how steady it was. */
  readonly windows: readonly number[];
}

const AT_ONCE = 256;
const WARM_SECONDS = 20;
const WINDOW_SECONDS = 10;
const WINDOWS = 6;

/** @param payload of each run. What `signal` cuts short is measured until then. */
export async function sustained(
  load: Load,
  payload: Parameters<Load['run']>[0],
  signal?: AbortSignal,
): Promise<Sustained> {
  let ended = 0;
  let over = false;
  const lane = async (): Promise<void> => {
    while (!over) {
      await load.run(payload);
      ended++;
    }
  };
  const lanes = Promise.all(Array.from({ length: AT_ONCE }, lane));
  const wait = (seconds: number): Promise<unknown> =>
    Promise.race([lanes, pause(seconds * 1_000, undefined, { signal }).catch(() => undefined)]);
  await wait(WARM_SECONDS);
  const [from, begun] = [ended, performance.now()];
  const windows: number[] = [];
  while (windows.length < WINDOWS && signal?.aborted !== true) {
    const [before, at] = [ended, performance.now()];
    await wait(WINDOW_SECONDS);
    windows.push(((ended - before) * 1_000) / (performance.now() - at));
  }
  const perSecond = ((ended - from) * 1_000) / (performance.now() - begun);
  over = true;
  await lanes;
  return { perSecond, windows };
}
