/** What doctor says about one thing it looked at. Pure. */
import { isMillraceError, messageOf } from '../../kernel/index.ts';

export type Level = 'ok' | 'warn' | 'fail';

export interface Finding {
  /** The part it belongs to: `nats`, `streams`, `consumers`, `redis`, `prefect`, `telemetry`. */
  readonly part: string;
  readonly level: Level;
  /** What was found, as a sentence. */
  readonly found: string;
  /** What it means, when that is not plain. */
  readonly means?: string;
  /** What to do about it. */
  readonly todo?: string;
}

export const ok = (part: string, found: string, means?: string): Finding => ({
  part,
  level: 'ok',
  found,
  ...(means === undefined ? {} : { means }),
});

const trouble =
  (level: Level) =>
  (part: string, found: string, means: string, todo: string): Finding => ({ part, level, found, means, todo });
export const warn = trouble('warn');
export const fail = trouble('fail');

/** An error met while looking, as a finding. */
export function failure(part: string, error: unknown, means: string): Finding {
  const todo = isMillraceError(error) && error.hint !== undefined ? error.hint : 'look at the log of that part';
  return fail(part, messageOf(error), means, todo);
}
