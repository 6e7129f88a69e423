/**
 * Lines on JetStream: one stream, a subject each for a line's inputs, log and timer. The timer is a message schedule of the
 * server's whose target is the line's inputs: when it fires, that is an input like any other.
 *
 * Boundary: the only place that reads or writes `sched.*` subjects. It creates no stream and no consumer.
 */
import { DeliverPolicy, JetStreamApiError, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import {
  assertPayload,
  expectStored,
  type NatsDoor,
  openPublisher,
  type Publisher,
  systemClock,
} from '../drivers/index.ts';
import {
  err,
  HEADERS,
  lineInputSubject,
  lineLogSubject,
  lineTimerSubject,
  MillraceError,
  messageOf,
  ok,
  type Result,
  STREAMS,
} from '../kernel/index.ts';
import type { LineEntry, LineInputBody, LineRef, StoredLineEntry } from './model/line.ts';
import type { LineStore, LineWatch, StoredLineInput } from './ports.ts';

const WRONG_LAST_SEQUENCE = new Set([10071, 10164]);
const [NO_MESSAGE, NO_STREAM] = [10037, 10059];
const AGAIN_MS = 1_000;
const STREAM = STREAMS.schedules;

const decoder = new TextDecoder();

function entryOf({ data, seq, subject }: Pick<StoredMsg, 'data' | 'seq' | 'subject'>): StoredLineEntry {
  try {
    const value = JSON.parse(decoder.decode(data)) as LineEntry;
    if (value.v === 1 && Array.isArray(value.transitions)) return { ...value, seq };
  } catch {
    // said below
  }
  throw new MillraceError('MR_JOURNAL_CORRUPT', `message ${seq} on ${subject} is no entry of a schedule's log`, {
    hint: 'somebody else wrote to it, or a newer version did; restrict publishing on sched.log.> to controllers',
  });
}

function failure(what: string, cause: unknown): MillraceError {
  if (cause instanceof MillraceError) return cause;
  if (cause instanceof JetStreamApiError && cause.code === NO_STREAM) {
    return new MillraceError('MR_NATS', `could not ${what}: stream ${STREAM} does not exist`, {
      hint: 'run `millrace apply` once, or start a controller: it creates what the system needs',
      cause,
    });
  }
  return new MillraceError('MR_NATS', `could not ${what}: ${messageOf(cause)}`, {
    hint: 'check that JetStream is healthy with `millrace doctor`',
    cause,
  });
}

export interface JetStreamLines extends LineStore, LineWatch {
  /** The last entry of every line (of one workflow), sorted by name. @throws MillraceError MR_NATS */
  list(workflow?: string): Promise<readonly StoredLineEntry[]>;
  /** The entries that are kept, oldest first. @throws MillraceError MR_NATS */
  entries(ref: LineRef): Promise<readonly StoredLineEntry[]>;
  /** Whether the input was decided on: then it is not stored any more. @throws MillraceError MR_NATS */
  isHandled(seq: number): Promise<boolean>;
  close(): void;
}

/** @param door stays the caller's */
export function openLines(
  door: NatsDoor,
  report: (message: string, error?: unknown) => void = () => {},
): JetStreamLines {
  return new LinesOnJetStream(door, report);
}

class LinesOnJetStream implements JetStreamLines {
  readonly #door: NatsDoor;
  readonly #jsm: JetStreamManager;
  readonly #publisher: Publisher;
  readonly #report: (message: string, error?: unknown) => void;

  constructor(door: NatsDoor, report: (message: string, error?: unknown) => void) {
    this.#door = door;
    this.#jsm = door.jsm;
    this.#publisher = openPublisher(door.nc);
    this.#report = report;
  }

  close(): void {
    this.#publisher.close();
  }

  async #get(query: { last_by_subj: string } | { next_by_subj: string; seq: number }): Promise<StoredMsg | undefined> {
    try {
      return (await this.#jsm.streams.getMessage(STREAM, query)) ?? undefined;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === NO_MESSAGE) return undefined;
      throw failure(`read ${STREAM}`, error);
    }
  }

  async last({ workflow, line }: LineRef): Promise<StoredLineEntry | undefined> {
    const msg = await this.#get({ last_by_subj: lineLogSubject(workflow, line) });
    return msg === undefined ? undefined : entryOf(msg);
  }

  async #after({ workflow, line }: LineRef, seq: number): Promise<StoredLineEntry | undefined> {
    const msg = await this.#get({ next_by_subj: lineLogSubject(workflow, line), seq: seq + 1 });
    return msg === undefined ? undefined : entryOf(msg);
  }

  async causedBy(ref: LineRef, seq: number): Promise<StoredLineEntry | undefined> {
    // Inputs and entries share the stream, so what an input caused lies behind it.
    let entry = await this.#after(ref, seq);
    while (entry !== undefined && entry.cause < seq) entry = await this.#after(ref, entry.seq);
    return entry?.cause === seq ? entry : undefined;
  }

  async append(ref: LineRef, entry: LineEntry, expectedLast: number): Promise<Result<number, 'conflict'>> {
    const subject = lineLogSubject(ref.workflow, ref.line);
    const data = JSON.stringify(entry);
    assertPayload(this.#door.nc, data, 'the log entry of schedule', ref.line);
    const headers = { [HEADERS.expectedLastSubjectSequence]: String(expectedLast) };
    const outcome = await this.#publisher.publish(subject, data, headers);
    if (outcome.kind === 'refused' && WRONG_LAST_SEQUENCE.has(outcome.code)) return err('conflict');
    if (outcome.kind === 'unknown') {
      const stored = await this.#after(ref, expectedLast);
      if (stored !== undefined) {
        const { seq, ...rest } = stored;
        return JSON.stringify(rest) === data ? ok(seq) : err('conflict');
      }
    }
    return ok(expectStored(outcome, subject).seq);
  }

  async inputsBetween({ workflow, line }: LineRef, after: number, before: number): Promise<readonly StoredLineInput[]> {
    const subject = lineInputSubject(workflow, line);
    const found: StoredLineInput[] = [];
    for (let seq = after + 1; seq < before; ) {
      const msg = await this.#get({ next_by_subj: subject, seq });
      if (msg === undefined || msg.seq >= before) break;
      found.push({ seq: msg.seq, at: msg.time.getTime(), data: msg.data });
      seq = msg.seq + 1;
    }
    return found;
  }

  async send(ref: LineRef, body: LineInputBody, msgId: string): Promise<{ seq: number; duplicate: boolean }> {
    const subject = lineInputSubject(ref.workflow, ref.line);
    const data = JSON.stringify(body);
    assertPayload(this.#door.nc, data, `the ${body.kind} input of schedule`, ref.line);
    return expectStored(await this.#publisher.publish(subject, data, { [HEADERS.msgId]: msgId }), subject);
  }

  async setTimer({ workflow, line }: LineRef, due: number): Promise<void> {
    const subject = lineTimerSubject(workflow, line);
    const body: LineInputBody = { v: 1, kind: 'due', due };
    const headers = {
      'Nats-Schedule': `@at ${new Date(due).toISOString()}`,
      'Nats-Schedule-Target': lineInputSubject(workflow, line),
    };
    expectStored(await this.#publisher.publish(subject, JSON.stringify(body), headers), subject);
  }

  async clearTimer({ workflow, line }: LineRef): Promise<void> {
    await this.#purge({ filter: lineTimerSubject(workflow, line) });
  }

  async trim({ workflow, line }: LineRef, keep: number): Promise<void> {
    await this.#purge({ filter: lineLogSubject(workflow, line), keep });
  }

  async #purge(what: { filter: string; keep?: number }): Promise<void> {
    try {
      await this.#jsm.streams.purge(STREAM, what);
    } catch (error) {
      this.#report(`${what.filter} was not purged: ${messageOf(error)}`, error);
    }
  }

  async list(workflow = '*'): Promise<readonly StoredLineEntry[]> {
    const found: StoredLineEntry[] = [];
    try {
      const filter = `sched.log.${workflow}.*`;
      const { state } = await this.#jsm.streams.info(STREAM, { subjects_filter: filter });
      for (const subject of Object.keys(state.subjects ?? {}).sort()) {
        const msg = await this.#get({ last_by_subj: subject });
        if (msg !== undefined) found.push(entryOf(msg));
      }
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === NO_STREAM) return [];
      throw failure('list the schedules', error);
    }
    return found;
  }

  async isHandled(seq: number): Promise<boolean> {
    try {
      return (await this.#jsm.streams.getMessage(STREAM, { seq })) === null;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === NO_MESSAGE) return true;
      throw failure(`read ${STREAM}`, error);
    }
  }

  async entries(ref: LineRef): Promise<readonly StoredLineEntry[]> {
    const found: StoredLineEntry[] = [];
    for (let next = await this.#after(ref, 0); next !== undefined; next = await this.#after(ref, next.seq)) {
      found.push(next);
    }
    return found;
  }

  async watch(changed: (entry: StoredLineEntry) => void): Promise<{ stop(): Promise<void> }> {
    const stopping = new AbortController();
    const running = this.#follow(changed, stopping.signal);
    return {
      stop: async () => {
        stopping.abort();
        await running;
      },
    };
  }

  async #follow(changed: (entry: StoredLineEntry) => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const consumer = await this.#door.js.consumers.get(STREAM, {
          filter_subjects: ['sched.log.*.*'],
          deliver_policy: DeliverPolicy.LastPerSubject,
        });
        const messages = await consumer.consume();
        const stop = (): void => messages.stop();
        signal.addEventListener('abort', stop, { once: true });
        if (signal.aborted) stop();
        for await (const msg of messages) changed(entryOf(msg));
        signal.removeEventListener('abort', stop);
        await consumer.delete().catch(() => undefined);
      } catch (error) {
        if (!signal.aborted) this.#report(`the schedules cannot be followed: ${messageOf(error)}`, error);
      }
      if (signal.aborted) return;
      await systemClock.sleep(AGAIN_MS, signal).catch(() => undefined);
    }
  }
}
