/** Inputs of imported runs: wrapped on their way in, so that nobody acts on them, and read as what they were. Pure. */
import { type Json, MillraceError } from '../../kernel/index.ts';
import type { InputBody } from '../model/index.ts';
import type { StoredInput } from './port.ts';

const MARK = new TextEncoder().encode('"kind":"imported"');
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** An input as an export has it. */
export interface OriginalInput {
  readonly at: number;
  readonly runId: string;
  /** Absent when it was no JSON. */
  readonly body?: Json;
  readonly base64?: string;
  readonly msgId?: string;
}

export type ImportedBody = Extract<InputBody, { kind: 'imported' }>;

export const importedBody = (original: OriginalInput): ImportedBody => ({ v: 1, kind: 'imported', ...original });

/** The bytes as JSON where they are, else as base64. */
export function readable(data: Uint8Array): Pick<OriginalInput, 'body' | 'base64'> {
  try {
    return { body: JSON.parse(decoder.decode(data)) as Json };
  } catch {
    return { base64: Buffer.from(data).toString('base64') };
  }
}

/**
 * The input as it was stored where its run comes from, under the sequence it has here; itself when it is no imported one.
 * @throws MillraceError MR_JOURNAL_CORRUPT when its wrapping is not whole
 */
export function originalInput(stored: StoredInput): StoredInput & { readonly originalRunId?: string } {
  const { data } = stored;
  // Looked for at its beginning, where it is written: the text may stand anywhere in an ordinary payload.
  if (Buffer.from(data.buffer, data.byteOffset, Math.min(data.length, 64)).indexOf(MARK) === -1) return stored;
  const body = JSON.parse(decoder.decode(data)) as Partial<ImportedBody>;
  if (body.kind !== 'imported') return stored;
  const { at, runId, msgId, base64 } = body;
  if (at === undefined || runId === undefined) {
    throw new MillraceError(
      'MR_JOURNAL_CORRUPT',
      `input ${stored.seq} of run ${stored.run.runId} is half an imported one`,
    );
  }
  const original = base64 === undefined ? encoder.encode(JSON.stringify(body.body)) : Buffer.from(base64, 'base64');
  const headers = msgId === undefined ? {} : { 'Nats-Msg-Id': msgId };
  return { run: stored.run, seq: stored.seq, at, data: original, headers, originalRunId: runId };
}
