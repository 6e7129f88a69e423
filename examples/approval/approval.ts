/** A person decides on an expense. Who does not answer in time is asked again, then somebody above is. */
import { z } from 'zod';
import { isMillraceError, step, workflow } from '../../src/index.ts';

const DAY = 86_400_000;

export const Expense = z.object({ id: z.string(), cents: z.number().int(), approvers: z.array(z.string()).min(1) });
const Decision = z.object({ approved: z.boolean(), by: z.string() });

/** Sends a message to a person; written once per key by whoever delivers it. */
export type Notify = (person: string, text: string, key: string) => void;

export const approvalOf = (notify: Notify) => {
  const ask = step({
    name: 'ask',
    input: z.object({ person: z.string(), text: z.string() }),
    output: z.null(),
    run: ({ person, text }, { idempotencyKey }) => {
      notify(person, text, idempotencyKey);
      return null;
    },
  });

  return workflow(
    'expense-approval',
    {
      input: Expense,
      output: z.object({ approved: z.boolean(), by: z.string() }),
      signals: { decision: Decision },
    },
    async (ctx, { id, cents, approvers }) => {
      for (const [level, person] of approvers.entries()) {
        const why = level === 0 ? 'please decide on' : 'nobody has decided on';
        await ctx.step(ask, { person, text: `${why} ${id}: ${cents / 100}` });
        try {
          return await ctx.signal('decision', { timeoutMs: 2 * DAY });
        } catch (error) {
          if (!isMillraceError(error, 'MR_SIGNAL_TIMEOUT')) throw error;
          ctx.log.info({ person }, 'no answer: escalated');
        }
      }
      return { approved: false, by: 'nobody answered' };
    },
  );
};
