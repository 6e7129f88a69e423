/** When the runs of an open loop are meant to start. Pure: the same seed gives the same schedule. */

export type Arrivals = 'poisson' | 'constant';

/** mulberry32: small, and good enough to space arrivals. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Milliseconds from the beginning of the schedule, ascending; all of them below `seconds`. */
export function schedule(arrivals: Arrivals, perSecond: number, seconds: number, seed: number): readonly number[] {
  const random = randomOf(seed);
  const gap = arrivals === 'constant' ? () => 1_000 / perSecond : () => (-Math.log(1 - random()) * 1_000) / perSecond;
  const times: number[] = [];
  for (let at = gap(); at < seconds * 1_000; at += gap()) times.push(at);
  return times;
}
