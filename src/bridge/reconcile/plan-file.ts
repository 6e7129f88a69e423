/** A plan of differences as a file: written by `reconcile --plan`, read by `reconcile --apply`. Pure. */
import { z } from 'zod';
import { MillraceError } from '../../kernel/index.ts';
import { DRIFT_CLASSES, type DriftClass } from './classes.ts';
import type { Differences } from './difference.ts';

const difference = z.object({
  workflow: z.string(),
  runId: z.string(),
  step: z.string(),
  attempt: z.number().int().positive(),
  class: z.enum(Object.keys(DRIFT_CLASSES) as [DriftClass, ...DriftClass[]]),
  flowRunId: z.string(),
  ours: z.enum(['open', 'completed', 'failed', 'lost', 'cancelled']),
  theirs: z.string(),
  reason: z.string(),
  repair: z.array(z.string()),
  seal: z.string(),
});
const planSchema = z.object({
  v: z.literal(1),
  at: z.number(),
  looked: z.number(),
  differences: z.array(difference),
});

/**
 * A plan from its text, as `reconcile --plan --json` and `-o` write it.
 * @throws MillraceError MR_USAGE naming the file when it is none
 */
export function parseDifferences(text: string, file: string): Differences {
  const refuse = (why: string): MillraceError =>
    new MillraceError('MR_USAGE', `${file} is no plan of differences: ${why}`, {
      hint: 'write one with millrace reconcile --plan -o <file>',
      place: { file },
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse('it is not JSON');
  }
  const parsed = planSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw refuse(`${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim());
}
