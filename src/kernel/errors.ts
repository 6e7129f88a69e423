/**
 * The closed list of error codes, and the one error class of the project.
 *
 * The class of an error says what happens next (`next`); nobody branches on a message. A code names a situation a user
 * can look up; `hint` is the sentence that says what to do about it; `place` is where it was found.
 */

/** What the caller should do after this error. */
export type Next =
  /** Trying again with the same input cannot help. */
  | 'terminal'
  /** Something outside was not there; the same call may go through later. */
  | 'retry'
  /** Somebody else was faster; re-read and decide again. */
  | 'conflict';

const CODES = {
  // manifests and input
  MR_MANIFEST_SYNTAX: 'terminal',
  MR_MANIFEST_INVALID: 'terminal',
  MR_MANIFEST_CYCLE: 'terminal',
  MR_EXPRESSION: 'terminal',
  MR_NOT_JSON: 'terminal',
  MR_INPUT_INVALID: 'terminal',
  MR_OUTPUT_INVALID: 'terminal',
  MR_PAYLOAD_TOO_LARGE: 'terminal',
  MR_USAGE: 'terminal',
  MR_CONFIG: 'terminal',
  // plan and apply
  MR_PLAN_STALE: 'conflict',
  MR_PLAN_IMPOSSIBLE: 'terminal',
  MR_PLAN_DATA_LOSS: 'terminal',
  // journal
  MR_CONFLICT: 'conflict',
  MR_JOURNAL_CORRUPT: 'terminal',
  MR_DEFINITION_MISSING: 'terminal',
  MR_WORKFLOW_MISSING: 'terminal',
  MR_RUN_MISSING: 'terminal',
  MR_RUN_STATE: 'terminal',
  MR_RUN_EXISTS: 'terminal',
  MR_SCHEDULE_MISSING: 'terminal',
  MR_SCHEDULE_STATE: 'terminal',
  MR_REPLAY_DIVERGED: 'terminal',
  // outside parts
  MR_NATS_UNREACHABLE: 'retry',
  MR_NATS_AUTH: 'terminal',
  MR_NATS_TOO_OLD: 'terminal',
  MR_NATS: 'retry',
  MR_REDIS_UNREACHABLE: 'retry',
  MR_PREFECT_UNREACHABLE: 'retry',
  MR_PREFECT: 'retry',
  MR_PREFECT_REFUSED: 'terminal',
  MR_DEPLOYMENT_MISSING: 'terminal',
  MR_JAEGER_UNREACHABLE: 'retry',
  MR_PORT_IN_USE: 'terminal',
  MR_PROVISION: 'terminal',
  // steps
  MR_STEP_FAILED: 'retry',
  MR_STEP_TIMEOUT: 'retry',
  MR_STEP_LOST: 'retry',
  MR_QUEUE_TIMEOUT: 'terminal',
  MR_HEARTBEAT_TIMEOUT: 'retry',
  MR_STEP_EXHAUSTED: 'terminal',
  MR_SIGNAL_TIMEOUT: 'terminal',
  MR_RUN_TIMEOUT: 'terminal',
  MR_CHILD_CANCELLED: 'terminal',
  MR_CHILD_DEPTH: 'terminal',
  MR_TOO_MANY_ITEMS: 'terminal',
  MR_HISTORY_LIMIT: 'terminal',
  MR_CANCELLED: 'terminal',
  MR_HANDLER_MISSING: 'terminal',
  MR_INTERNAL: 'terminal',
} as const satisfies Record<string, Next>;

/** One of the closed list of codes. */
export type ErrorCode = keyof typeof CODES;

/** Where a problem was found. Lines and columns count from 1. */
export interface Place {
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  /** Path of the field inside the document, e.g. `spec.steps[2].needs[0]`. */
  readonly path?: string;
}

/** How a {@link MillraceError} is built. */
export interface ErrorDetails {
  readonly hint?: string;
  readonly place?: Place;
  readonly cause?: unknown;
  /** Overrides the code's usual consequence, e.g. a step failure that must not be retried. */
  readonly next?: Next;
}

/** The one error class that crosses a boundary of this project. */
export class MillraceError extends Error {
  override readonly name = 'MillraceError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly place: Place | undefined;
  readonly next: Next;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint;
    this.place = details.place;
    this.next = details.next ?? CODES[code];
  }
}

/** `true` for an error of this project, optionally of one code. */
export function isMillraceError(error: unknown, code?: ErrorCode): error is MillraceError {
  return error instanceof MillraceError && (code === undefined || error.code === code);
}

/** `true` when the string is one of the closed list of codes (for data read back from a stream). */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(CODES, text);
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** `file:line:column` and the field's path, as far as they are known. */
export function formatPlace(place: Place): string {
  const at = [place.file, place.line, place.column].filter((part) => part !== undefined).join(':');
  return [at, place.path].filter((part) => part !== undefined && part !== '').join(' ');
}
