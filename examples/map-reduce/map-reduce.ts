/** Counts the words of many documents: a step per document, side by side, then one over all results. */
import { z } from 'zod';
import { step, workflow } from '../../src/index.ts';

const Counts = z.record(z.string(), z.number());

/** Where documents are read from. */
export type Read = (name: string) => Promise<string>;

export const wordCountOf = (read: Read) => {
  const count = step({
    name: 'count',
    input: z.string(),
    output: Counts,
    run: async (name) => {
      const words = (await read(name)).toLowerCase().match(/\p{L}+/gu) ?? [];
      const counts: Record<string, number> = {};
      for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
      return counts;
    },
  });

  return workflow('word-count', { input: z.array(z.string()), output: Counts }, async (ctx, documents) => {
    const parts = await Promise.all(documents.map((name) => ctx.step(count, name)));
    return ctx.step('reduce', () => {
      const sum: Record<string, number> = {};
      for (const part of parts) for (const [word, n] of Object.entries(part)) sum[word] = (sum[word] ?? 0) + n;
      return sum;
    });
  });
};
