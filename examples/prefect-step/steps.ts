/** The two steps of workflow.yaml that are TypeScript; the one between them is a Prefect flow, kept as it is. */
import { z } from 'zod';
import { step } from '../../src/index.ts';

/** Tells everybody, once per key. */
export type Announce = (text: string, key: string) => void;

export const reportSteps = (announce: Announce) => [
  step({
    name: 'report.check',
    input: z.object({ day: z.iso.date() }),
    output: z.object({ day: z.string() }),
    run: ({ day }) => ({ day }),
  }),
  step({
    name: 'report.announce',
    input: z.object({ day: z.string(), rows: z.number() }),
    output: z.string(),
    run: ({ day, rows }, { idempotencyKey }) => {
      const text = `${rows} flights were late on ${day}`;
      announce(text, idempotencyKey);
      return text;
    },
  }),
];
