/** The process's own clock. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../kernel/index.ts';

export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      throw signal?.aborted === true ? signal.reason : error;
    }
  },
};
