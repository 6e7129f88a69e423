/** The message that started a run, as its source stream still has it. */
import { JetStreamApiError, type JetStreamManager } from '@nats-io/jetstream';
import { plainHeaders } from '../../drivers/index.ts';
import { MillraceError, messageOf } from '../../kernel/index.ts';
import type { RunState, Source } from '../model/index.ts';

const GONE = new Set([10037, 10059]); // no such message, no such stream

/**
 * When the source has let go of it (age, purge, deletion) the payload that the run kept takes its place.
 * @throws MillraceError MR_NATS
 */
export async function startingMessage(
  jsm: JetStreamManager,
  source: Source,
  state: RunState,
): Promise<{ readonly data: Uint8Array; readonly headers: Readonly<Record<string, string>> }> {
  try {
    const message = await jsm.streams.getMessage(source.stream, { seq: source.sequence });
    if (message !== null) return { data: message.data, headers: plainHeaders(message.header) };
  } catch (cause) {
    if (!(cause instanceof JetStreamApiError && GONE.has(cause.code))) {
      throw new MillraceError('MR_NATS', `message ${source.sequence} of ${source.stream}: ${messageOf(cause)}`, {
        cause,
      });
    }
  }
  return { data: new TextEncoder().encode(JSON.stringify(state.payload)), headers: {} };
}
