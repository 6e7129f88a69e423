/** Bytes from an `in` subject as an input body, or why they are none. Pure. */
import { err, ok, type Result } from '../../kernel/index.ts';
import { type InputBody, inputBodySchema } from '../model/index.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

export interface Poison {
  readonly code: 'MR_NOT_JSON' | 'MR_INPUT_INVALID';
  readonly reason: string;
}

export function parseInput(data: Uint8Array): Result<InputBody, Poison> {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(data));
  } catch {
    return err({ code: 'MR_NOT_JSON', reason: `${data.length} bytes that are not JSON` });
  }
  const parsed = inputBodySchema.safeParse(value);
  if (parsed.success) return ok(parsed.data);
  const [issue] = parsed.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  return err({ code: 'MR_INPUT_INVALID', reason: `no input: ${where}${issue?.message ?? 'unknown shape'}` });
}
