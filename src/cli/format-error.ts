/** How an error looks to the one who typed the command, and which exit code it gives. Pure. */
import { formatPlace, isMillraceError, MillraceError, messageOf } from '../kernel/index.ts';
import type { Colors } from './colors.ts';

/** Exit codes of the command line. */
export const EXIT = {
  ok: 0,
  /** The command failed, or found what it was asked to look for problems in. */
  failed: 1,
  /** Wrong arguments or wrong configuration: typing it again will not help. */
  usage: 2,
  /** A part outside could not be reached: later it may work. */
  unreachable: 3,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The exit code that goes with an error. */
export function exitCodeOf(error: unknown): ExitCode {
  if (!isMillraceError(error)) return EXIT.failed;
  switch (error.code) {
    case 'MR_USAGE':
    case 'MR_CONFIG':
    case 'MR_NATS_AUTH':
      return EXIT.usage;
    case 'MR_NATS_UNREACHABLE':
    case 'MR_REDIS_UNREACHABLE':
    case 'MR_PREFECT_UNREACHABLE':
    case 'MR_JAEGER_UNREACHABLE':
      return EXIT.unreachable;
    default:
      return EXIT.failed;
  }
}

/** Anything thrown as an error of ours; what is not is a bug and says so. */
export function toMillraceError(error: unknown): MillraceError {
  if (isMillraceError(error)) return error;
  return new MillraceError('MR_INTERNAL', messageOf(error), {
    hint: 'this is a bug in Millrace; set MILLRACE_LOG_LEVEL=debug to see where it happened, and report it',
    cause: error,
  });
}

/** The error as data: what `--json` prints on stderr. */
export function errorData(error: unknown): { readonly error: Record<string, unknown> } {
  const { code, message, hint, place, next } = toMillraceError(error);
  return {
    error: { code, message, next, ...(hint === undefined ? {} : { hint }), ...(place === undefined ? {} : { place }) },
  };
}

/** The error as a sentence, its place and what to do. */
export function errorText(error: unknown, c: Colors, stack = false): string {
  const known = toMillraceError(error);
  const lines = [`${c.red('error')} ${known.message} ${c.dim(`(${known.code})`)}`];
  if (known.place !== undefined) lines.push(`  ${c.dim('at')}   ${formatPlace(known.place)}`);
  if (known.hint !== undefined) lines.push(`  ${c.dim('hint')} ${known.hint}`);
  const origin = known.cause instanceof Error ? known.cause : known;
  if (stack && origin.stack !== undefined) lines.push(c.dim(origin.stack));
  return lines.join('\n');
}
