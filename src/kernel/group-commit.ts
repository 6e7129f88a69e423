/** `MILLRACE_GROUP_COMMIT`: the one place that reads it, for whatever connects. Pure. */
import { z } from 'zod';
import { MillraceError } from './errors.ts';

const VARIABLE = 'MILLRACE_GROUP_COMMIT';
const MODES = ['auto', 'always', 'never'] as const;

/** `auto` finds out by measuring; `always` batches whenever enough wait; `never` sends every message alone. */
export type GroupCommit = (typeof MODES)[number];

/** The variable's text as a setting; unset and empty mean `auto`. */
export const groupCommitSetting = z
  .string()
  .optional()
  .transform((value) => value?.trim() || 'auto')
  .refine((value): value is GroupCommit => MODES.some((mode) => mode === value), {
    message: `expected one of ${MODES.join(', ')}`,
  });

/**
 * The setting of an environment.
 * @throws MillraceError MR_CONFIG
 */
export function groupCommitOf(env: Readonly<Record<string, string | undefined>>): GroupCommit {
  const parsed = groupCommitSetting.safeParse(env[VARIABLE]);
  if (parsed.success) return parsed.data;
  throw new MillraceError('MR_CONFIG', `${VARIABLE}: ${parsed.error.issues[0]?.message ?? 'cannot be used'}`, {
    hint: `set or unset ${VARIABLE}; docs/protocol.md lists all variables`,
    place: { path: VARIABLE },
  });
}
