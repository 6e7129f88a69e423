/** What the NATS client throws, as errors of this project: one place decides which code it becomes. */
import { JetStreamApiError } from '@nats-io/jetstream';
import {
  AuthorizationError,
  ClosedConnectionError,
  ConnectionError,
  DrainingConnectionError,
  NoRespondersError,
  PermissionViolationError,
  RequestError,
  TimeoutError,
  UserAuthenticationExpiredError,
} from 'nats';
import { isMillraceError, MillraceError, messageOf } from '../kernel/index.ts';

/** JetStream's own error numbers that this module tells apart. */
export const API_ERRORS = { streamNotFound: 10059, consumerNotFound: 10014, noMessage: 10037 } as const;

/** JetStream's error number, if the error is one of its answers. */
export function apiErrorCode(error: unknown): number | undefined {
  return error instanceof JetStreamApiError ? error.code : undefined;
}

function isGone(error: unknown): boolean {
  return (
    error instanceof ClosedConnectionError ||
    error instanceof DrainingConnectionError ||
    error instanceof ConnectionError ||
    error instanceof TimeoutError ||
    error instanceof NoRespondersError ||
    (error instanceof RequestError && (error.cause === undefined || isGone(error.cause)))
  );
}

/** The error as one of this project's; `doing` says what was tried, e.g. `update stream FLIGHTS`. */
export function natsFailure(error: unknown, doing: string): MillraceError {
  if (isMillraceError(error)) return error;
  const message = `${doing}: ${messageOf(error)}`;
  if (error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError) {
    return new MillraceError('MR_NATS_AUTH', message, {
      hint: 'check MILLRACE_NATS_TOKEN or MILLRACE_NATS_CREDS',
      cause: error,
    });
  }
  if (error instanceof PermissionViolationError) {
    return new MillraceError('MR_NATS_AUTH', message, {
      hint: 'the credentials are right but may not do this; ask for the JetStream API subjects ($JS.API.>)',
      cause: error,
    });
  }
  if (isGone(error)) {
    return new MillraceError('MR_NATS_UNREACHABLE', message, {
      hint: 'check that MILLRACE_NATS_URL names a running nats-server with JetStream on (millrace doctor tells more)',
      cause: error,
    });
  }
  return new MillraceError('MR_NATS', message, {
    hint: 'the server refused; its reason is in the message',
    cause: error,
  });
}

/** Runs one call, its failures translated by {@link natsFailure}. */
export async function asNats<T>(doing: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw natsFailure(error, doing);
  }
}

/** As {@link asNats}, but `undefined` when JetStream answers one of the given "not there" numbers. */
export async function unlessMissing<T>(
  doing: string,
  missing: readonly number[],
  call: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    const code = apiErrorCode(error);
    if (code !== undefined && missing.includes(code)) return undefined;
    throw natsFailure(error, doing);
  }
}
