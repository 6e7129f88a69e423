/** The system that does nothing: each run ends in the next turn of the event loop. What is measured with it is the driver. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { StartSystem } from './system.ts';

export const start: StartSystem = async () => ({
  name: 'null',
  version: '0',
  durability: 'nothing is stored',
  serverPids: [],
  run: (steps) => nextTurn(steps),
  fanOut: (width) => nextTurn(width),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  waiting: async () => ({ send: () => nextTurn() }),
  stop: async () => undefined,
});
