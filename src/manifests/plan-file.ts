/** A plan written down, to be read by people and applied later. Pure. */
import { z } from 'zod';
import { MillraceError, messageOf, shortHash } from '../kernel/index.ts';
import type { Plan } from './plan.ts';

const named = { name: z.string(), diff: z.array(z.object({ field: z.string(), from: z.json(), to: z.json() })) };
const config = z.looseObject({});
const action = z.discriminatedUnion('kind', [
  z.object({ kind: z.enum(['create-stream', 'update-stream']), ...named, config }),
  z.object({ kind: z.enum(['create-consumer', 'update-consumer']), ...named, config }),
  z.object({ kind: z.literal('create-bucket'), ...named, replicas: z.number() }),
  z.object({ kind: z.literal('put-definition'), ...named, definition: z.looseObject({ digest: z.string() }) }),
  z.object({ kind: z.enum(['delete-consumer', 'remove-definition']), ...named }),
]);
const planFile = z.object({
  seal: z.string(),
  plan: z.looseObject({
    v: z.literal(1),
    fingerprint: z.string(),
    actions: z.array(action),
    drift: z.array(z.looseObject({ kind: z.string(), name: z.string() })),
    problems: z.array(z.looseObject({ severity: z.string(), message: z.string() })),
  }),
});

/** The file's text. The seal tells a plan that was changed by hand from one that was computed. */
export function formatPlanFile(plan: Plan): string {
  return `${JSON.stringify({ seal: shortHash(JSON.stringify(plan)), plan }, null, 2)}\n`;
}

/**
 * Reads a plan file.
 * @throws MillraceError MR_USAGE when it is none, or was changed since
 */
export function parsePlanFile(text: string, file: string): Plan {
  const refuse = (reason: string): MillraceError =>
    new MillraceError('MR_USAGE', `${file} is no plan that can be applied: ${reason}`, {
      hint: 'write one with millrace plan --out <file>; to change what is done, change the manifests',
      place: { file },
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refuse(messageOf(error));
  }
  const parsed = planFile.safeParse(value);
  if (!parsed.success) throw refuse(parsed.error.issues[0]?.message ?? 'not a plan');
  const raw = (value as { readonly plan: Plan }).plan; // the parsed one, before zod made a copy in another key order
  if (shortHash(JSON.stringify(raw)) !== parsed.data.seal) throw refuse('it was changed after it was computed');
  return raw;
}
