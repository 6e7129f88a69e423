/** Options and arguments that several commands share. */
import { InvalidArgumentError, Option } from 'commander';
import { type Json, MillraceError, messageOf, tryParseDuration } from '../kernel/index.ts';
import type { CliContext } from './context.ts';

export const jsonOption = (): Option => new Option('--json', 'print one JSON document instead of text');
export const workflowOption = (): Option => new Option('-w, --workflow <name>', 'only this workflow');

/** A whole number from `from` on. */
export const wholeNumber =
  (from: number) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= from) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${from} on.`);
  };

/** Milliseconds of a duration such as `30s`. */
export function duration(text: string): number {
  const ms = tryParseDuration(text);
  if (ms !== undefined) return ms;
  throw new InvalidArgumentError('It must be a number and a unit, for example 250ms, 30s, 10m or 1h30m.');
}

/**
 * The JSON value of an argument (`@file` and `@-` allowed), and its text.
 * @param what names the argument for the error, e.g. `payload`
 * @throws MillraceError MR_NOT_JSON, MR_USAGE
 */
export async function readJson(
  ctx: CliContext,
  argument: string,
  what: string,
): Promise<{ readonly value: Json; readonly text: string }> {
  const text = await ctx.read(argument);
  try {
    return { value: JSON.parse(text) as Json, text };
  } catch (error) {
    throw new MillraceError('MR_NOT_JSON', `the ${what} is not JSON: ${messageOf(error)}`, {
      hint: `write it as '{"n":1}' (strings need quotes of their own: '"text"'), or give a file as @payload.json`,
      ...(argument.startsWith('@') ? { place: { file: argument.slice(1) } } : {}),
      cause: error,
    });
  }
}
