/** A subscription is one run as long as it lives: billed every month, changed and ended by signals. */
import { z } from 'zod';
import { type Context, isMillraceError, step, workflow } from '../../src/index.ts';

const MONTH = 30 * 86_400_000;

const Subscription = z.object({ customer: z.string(), cents: z.number().int(), months: z.number().int().default(0) });
const Change = z.object({ cents: z.number().int() }).or(z.literal('end'));

/** Takes the money; under a known key it takes nothing more. */
export type Bill = (customer: string, cents: number, key: string) => void;

export const subscriptionOf = (bill: Bill) => {
  const charge = step({
    name: 'charge',
    input: z.object({ customer: z.string(), cents: z.number() }),
    output: z.null(),
    run: ({ customer, cents }, { idempotencyKey }) => {
      bill(customer, cents, idempotencyKey);
      return null;
    },
  });

  /** The next change within the month; undefined when there is none. */
  const changeWithin = async (ctx: Context<{ change: typeof Change }>, ms: number) => {
    try {
      return await ctx.signal('change', { timeoutMs: ms });
    } catch (error) {
      if (isMillraceError(error, 'MR_SIGNAL_TIMEOUT')) return undefined;
      throw error;
    }
  };

  return workflow(
    'subscription',
    { input: Subscription, output: z.object({ months: z.number() }), signals: { change: Change } },
    async (ctx, { customer, ...start }) => {
      let { cents, months } = start;
      for (;;) {
        await ctx.step(charge, { customer, cents });
        months++;
        const due = ctx.now() + MONTH;
        for (let left = MONTH; left > 0; left = due - ctx.now()) {
          const change = await changeWithin(ctx, left);
          if (change === 'end') return { months };
          if (change === undefined) break;
          cents = change.cents;
        }
      }
    },
  );
};
