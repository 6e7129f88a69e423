/**
 * Reads the messages of one literal subject.
 * Boundary: asks the leader (`last`, `next`), which knows every write it has acknowledged, or any replica (`batch`), which is
 * fast and may lag: whoever uses that fills the gaps from the leader.
 */
import { JetStreamApiError, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import { MillraceError, messageOf } from '../kernel/index.ts';

const NO_MESSAGE = 10037;
const BATCH = 500;

export class SubjectReader {
  readonly #jsm: JetStreamManager;

  constructor(jsm: JetStreamManager) {
    this.#jsm = jsm;
  }

  /**
   * The subject's last message, as the leader knows it.
   * @throws MillraceError MR_NATS
   */
  last(stream: string, subject: string): Promise<StoredMsg | null> {
    return this.#get(stream, { last_by_subj: subject });
  }

  /**
   * The subject's first message at or after the sequence, as the leader knows it.
   * @throws MillraceError MR_NATS
   */
  next(stream: string, subject: string, seq: number): Promise<StoredMsg | null> {
    return this.#get(stream, { next_by_subj: subject, seq });
  }

  /** The subject's next messages from the sequence on, as some replica knows them; none when it cannot be asked. */
  async batch(stream: string, subject: string, seq: number): Promise<StoredMsg[]> {
    const found: StoredMsg[] = [];
    try {
      const batch = await this.#jsm.direct.getBatch(stream, { seq, batch: BATCH, next_by_subj: subject });
      for await (const msg of batch) found.push(msg);
    } catch {
      // Direct gets only make it fast.
    }
    return found;
  }

  /** The subject's messages above `have` up to the one of sequence `last`, which exists: no gap is left. Fills `found`. */
  async fill(stream: string, subject: string, last: StoredMsg, have: number, found: StoredMsg[]): Promise<void> {
    for (let at = have; at < last.seq; at = found.at(-1)?.seq ?? last.seq) {
      const more = (await this.batch(stream, subject, at + 1)).filter(({ seq }) => seq <= last.seq);
      // A replica that lags gives nothing new; the leader knows.
      found.push(...(more.length > 0 ? more : [(await this.next(stream, subject, at + 1)) ?? last]));
    }
  }

  async #get(
    stream: string,
    query: { last_by_subj: string } | { next_by_subj: string; seq: number },
  ): Promise<StoredMsg | null> {
    try {
      // The library's type of this request leaves out `next_by_subj`, which the server takes together with `seq`.
      return await this.#jsm.streams.getMessage(stream, query);
    } catch (error) {
      if (isApiError(error, NO_MESSAGE)) return null;
      throw readFailure(`read ${stream}`, error);
    }
  }
}

/** Whether it is the JetStream API's error of that number. */
export function isApiError(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}

/** What was asked of JetStream could not be done, for now. */
export function readFailure(what: string, cause: unknown): MillraceError {
  return new MillraceError('MR_NATS', `could not ${what}: ${messageOf(cause)}`, {
    hint: 'check that JetStream is healthy with `millrace doctor`',
    cause,
  });
}
