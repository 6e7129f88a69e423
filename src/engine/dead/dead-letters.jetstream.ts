/**
 * Dead letters: storing, listing, delivering again, removing.
 *
 * Boundary: stream MR_DEAD. A letter is the original message, untouched, with headers that say what happened to it.
 *   L1 a message becomes at most one letter of a kind and workflow in the duplicate window (its message id);
 *   L2 delivering again stores the message at its origin before the letter is removed: it may come twice, never not at all.
 */
import { JetStreamApiError, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import { expectStored, type NatsDoor, openPublisher, type Publisher, plainHeaders } from '../../drivers/index.ts';
import { type DeadKind, deadSubject, HEADERS, MillraceError, messageOf, STREAMS } from '../../kernel/index.ts';
import type { DeadLetter } from '../run/ports.ts';

/** A letter as stored. */
export interface StoredDeadLetter extends DeadLetter {
  /** Sequence in MR_DEAD: its name for {@link DeadLetters.redeliver}. */
  readonly seq: number;
  /** Server time of storing, ms since the epoch. */
  readonly at: number;
  /** True when the message was too large to be kept here: `data` is empty, the message is at its origin. */
  readonly atOrigin: boolean;
}

export interface DeadLetterFilter {
  readonly kind?: DeadKind | undefined;
  readonly workflow?: string | undefined;
  readonly runId?: string | undefined;
  /** At most so many, newest first; 100 by default. */
  readonly limit?: number | undefined;
}

export interface DeadLetters {
  /** Newest first. */
  list(filter?: DeadLetterFilter): Promise<readonly StoredDeadLetter[]>;
  get(seq: number): Promise<StoredDeadLetter | undefined>;
  /**
   * Publishes the message to its origin subject again and removes the letter.
   * @throws MillraceError MR_INPUT_INVALID when there is no such letter or nobody listens on its origin subject any more
   */
  redeliver(seq: number): Promise<{ readonly subject: string; readonly stream: string; readonly sequence: number }>;
  /** Removes letters; gives their number. */
  purge(filter?: Omit<DeadLetterFilter, 'limit'>): Promise<number>;
}

const KINDS: readonly DeadKind[] = ['trigger', 'run', 'input', 'task', 'flow'];
/** The server refuses a message whose headers do not fit with it; reasons can be long. */
const MAX_REASON = 1_000;
const MAX_HEADERS = 2_000;
/** Says how many bytes the message has that this letter only points to. */
const PAYLOAD_AT_ORIGIN = 'Millrace-Payload-At-Origin';

/**
 * A message that fills the server's limit has no room for the letter's own headers: such a letter is stored without its
 * payload and says so, and delivering it again takes the payload from its origin.
 * @param limit largest payload the server takes, see `maxPayload`
 * @throws MillraceError MR_NATS when it is not known to be stored
 */
export async function storeDeadLetter(publisher: Publisher, letter: DeadLetter, limit: number): Promise<void> {
  const { kind, workflow, id, runId, code, reason, origin } = letter;
  const subject = deadSubject(kind, workflow, id);
  const kept = withoutServerHeaders(letter.headers);
  const fits = letter.data.length <= limit && JSON.stringify(kept).length <= MAX_HEADERS;
  const outcome = await publisher.publish(subject, fits ? letter.data : new Uint8Array(), {
    ...(fits ? kept : { [PAYLOAD_AT_ORIGIN]: String(letter.data.length) }),
    [HEADERS.msgId]: `dead:${kind}:${workflow}:${origin.stream}:${origin.sequence}`,
    [HEADERS.code]: code,
    [HEADERS.reason]: headerText(reason),
    [HEADERS.originStream]: origin.stream,
    [HEADERS.originSequence]: String(origin.sequence),
    [HEADERS.originSubject]: origin.subject,
    ...(runId === undefined ? {} : { [HEADERS.run]: runId }),
  });
  expectStored(outcome, subject);
}

/** Headers are lines of text; what a failed step says may be anything. */
function headerText(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ').slice(0, MAX_REASON);
}

function withoutServerHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => !/^(Nats|Millrace)-/i.test(name));
  return Object.fromEntries(kept);
}

export function openDeadLetters(door: NatsDoor): DeadLetters {
  const { jsm, nc } = door;
  return {
    list: (filter = {}) => list(jsm, filter),
    get: (seq) => get(jsm, seq),
    async redeliver(seq) {
      const letter = await withPayload(jsm, await get(jsm, seq), seq);
      const publisher = openPublisher(nc);
      try {
        const stored = await publishAgain(publisher, letter);
        await jsm.streams.deleteMessage(STREAMS.dead, seq, false);
        return stored;
      } finally {
        publisher.close();
      }
    },
    async purge(filter = {}) {
      if (filter.runId === undefined) return purgeSubject(jsm, subjectFilter(filter));
      const letters = await list(jsm, { ...filter, limit: Number.POSITIVE_INFINITY });
      for (const { seq } of letters) await jsm.streams.deleteMessage(STREAMS.dead, seq, false);
      return letters.length;
    },
  };
}

function subjectFilter({ kind, workflow }: DeadLetterFilter): string {
  return `dead.${kind ?? '*'}.${workflow ?? '*'}.*`;
}

async function purgeSubject(jsm: JetStreamManager, filter: string): Promise<number> {
  const { purged } = await asNats('purge dead letters', () => jsm.streams.purge(STREAMS.dead, { filter }));
  return purged;
}

async function list(jsm: JetStreamManager, filter: DeadLetterFilter): Promise<readonly StoredDeadLetter[]> {
  const limit = filter.limit ?? 100;
  const found: StoredDeadLetter[] = [];
  const subject = subjectFilter(filter);
  let seq = 1;
  for (;;) {
    const batch = await asNats('read dead letters', () => readBatch(jsm, subject, seq));
    if (batch.length === 0) break;
    for (const msg of batch) {
      const letter = letterOf(msg);
      if (letter !== undefined && (filter.runId === undefined || letter.runId === filter.runId)) found.push(letter);
    }
    if (found.length > 2 * limit) found.splice(0, found.length - limit);
    seq = (batch.at(-1)?.seq ?? seq) + 1;
  }
  return found.reverse().slice(0, limit === Number.POSITIVE_INFINITY ? found.length : limit);
}

async function readBatch(jsm: JetStreamManager, subject: string, seq: number): Promise<StoredMsg[]> {
  const batch: StoredMsg[] = [];
  try {
    const messages = await jsm.direct.getBatch(STREAMS.dead, { seq, batch: 200, next_by_subj: subject });
    for await (const msg of messages) batch.push(msg);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return batch;
}

/** A direct get that finds nothing answers with status 404. */
function isNotFound(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 404;
}

async function get(jsm: JetStreamManager, seq: number): Promise<StoredDeadLetter | undefined> {
  const msg = await readMessage(jsm, STREAMS.dead, seq);
  return msg === null ? undefined : letterOf(msg);
}

function readMessage(jsm: JetStreamManager, stream: string, seq: number): Promise<StoredMsg | null> {
  return asNats(`read message ${seq} of ${stream}`, async () => {
    try {
      return await jsm.streams.getMessage(stream, { seq });
    } catch (error) {
      if (error instanceof JetStreamApiError && error.status === 404) return null;
      throw error;
    }
  });
}

/** The letter with the message it points to, if it only points. */
async function withPayload(
  jsm: JetStreamManager,
  letter: StoredDeadLetter | undefined,
  seq: number,
): Promise<StoredDeadLetter> {
  if (letter === undefined) throw noLetter(seq);
  if (!letter.atOrigin) return letter;
  const { stream, sequence } = letter.origin;
  const msg = await readMessage(jsm, stream, sequence);
  if (msg !== null) return { ...letter, data: msg.data, headers: withoutServerHeaders(plainHeaders(msg.header)) };
  throw new MillraceError(
    'MR_INPUT_INVALID',
    `letter ${seq} points to message ${sequence} of ${stream}, which is gone`,
    {
      hint: 'it was too large to be kept as a letter; ask its producer to send it again',
    },
  );
}

function letterOf(msg: StoredMsg): StoredDeadLetter | undefined {
  const [, kind, workflow, id] = msg.subject.split('.');
  const known = KINDS.find((name) => name === kind);
  if (known === undefined || workflow === undefined || id === undefined) return undefined;
  const headers = plainHeaders(msg.header);
  const runId = headers[HEADERS.run];
  return {
    seq: msg.seq,
    at: msg.time.getTime(),
    atOrigin: headers[PAYLOAD_AT_ORIGIN] !== undefined,
    kind: known,
    workflow,
    id,
    ...(runId === undefined ? {} : { runId }),
    code: headers[HEADERS.code] ?? '',
    reason: headers[HEADERS.reason] ?? '',
    origin: {
      stream: headers[HEADERS.originStream] ?? '',
      sequence: Number(headers[HEADERS.originSequence] ?? 0),
      subject: headers[HEADERS.originSubject] ?? '',
    },
    data: msg.data,
    headers: withoutServerHeaders(headers),
  };
}

async function publishAgain(publisher: Publisher, letter: StoredDeadLetter) {
  const { origin, headers, data, seq } = letter;
  const outcome = await publisher.publish(origin.subject, data, {
    ...headers,
    // Asking for it twice must not deliver it twice; its first id is gone, which its stream may still remember.
    [HEADERS.msgId]: `redeliver:${STREAMS.dead}:${seq}`,
    [HEADERS.redeliveredFrom]: `${STREAMS.dead}:${seq}`,
  });
  if (outcome.kind === 'refused' && outcome.code === 503) {
    throw new MillraceError('MR_INPUT_INVALID', `no stream takes ${origin.subject} any more`, {
      hint: `apply the manifest of stream ${origin.stream}, then re-deliver letter ${seq} again`,
    });
  }
  const { stream, seq: sequence } = expectStored(outcome, origin.subject);
  return { subject: origin.subject, stream, sequence };
}

function noLetter(seq: number): MillraceError {
  return new MillraceError('MR_INPUT_INVALID', `there is no dead letter ${seq}`, {
    hint: 'list them with `millrace dead-letters list`; they are kept for 30 days',
  });
}

async function asNats<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new MillraceError('MR_NATS', `could not ${what}: ${messageOf(cause)}`, {
      hint: 'check that JetStream is healthy with `millrace doctor`; without MR_DEAD run `millrace apply`',
      cause,
    });
  }
}
