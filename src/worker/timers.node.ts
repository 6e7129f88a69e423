/** The process's timers. */
import { hostname } from 'node:os';
import type { Timers } from './types.ts';

export const processTimers: Timers = {
  now: () => Date.now(),
  after(ms, act) {
    // setTimeout fires at once for delays beyond 31 bits; no attempt is that long
    const timer = setTimeout(act, Math.min(ms, 2_147_483_647));
    return () => clearTimeout(timer);
  },
  every(ms, act) {
    const timer = setInterval(act, ms);
    return () => clearInterval(timer);
  },
};

/** A name for this process that people can find it by: `<host>-<pid>`. */
export const processName = (): string => `${hostname()}-${process.pid}`;
