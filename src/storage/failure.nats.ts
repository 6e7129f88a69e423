/** What the NATS client throws here, as errors of this project. */
import { JetStreamApiError } from '@nats-io/jetstream';
import { isMillraceError, MillraceError, messageOf } from '../kernel/index.ts';

/** JetStream's own error numbers that are told apart here. */
export const STREAM_NOT_FOUND = 10059;
export const NO_MESSAGE = 10037;
export const CONSUMER_NOT_FOUND = 10014;

/** True for JetStream's answers of these numbers. */
export function isAnswer(error: unknown, ...codes: readonly number[]): boolean {
  return error instanceof JetStreamApiError && codes.includes(error.code);
}

/** Runs one call; what it throws becomes MR_NATS that says what was tried. */
export async function asked<T>(doing: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (isMillraceError(error)) throw error;
    throw new MillraceError('MR_NATS', `could not ${doing}: ${messageOf(error)}`, {
      hint: 'check that JetStream is healthy with `millrace doctor`',
      cause: error,
    });
  }
}

/** As {@link asked}; undefined when JetStream answers one of the given numbers. */
export async function askedUnless<T>(
  doing: string,
  missing: readonly number[],
  call: () => Promise<T>,
): Promise<T | undefined> {
  return asked(doing, async () => {
    try {
      return await call();
    } catch (error) {
      if (isAnswer(error, ...missing)) return undefined;
      throw error;
    }
  });
}
