/** Two versions of a workflow, as modules that `millrace replay check` loads: REPLAY_CHARGE names the new code's step. */
import { workflow } from '../../src/index.ts';

export const workflows = [
  workflow('check-order', {}, async (ctx) => {
    await ctx.step(process.env['REPLAY_CHARGE'] ?? 'charge', () => {
      console.log('a replay executes no step');
      return 1;
    });
    return ctx.signal('go');
  }),
];
