/**
 * Limits on JetStream: what is asked in MR_ASKS (a work queue: what is acknowledged is gone), logs in MR_LIMITS, one literal
 * subject per key and side. Boundary: creates no stream and no consumer.
 */
import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import {
  assertPayload,
  consumeDurable,
  type Delivered,
  expectStored,
  isApiError,
  type NatsDoor,
  openPublisher,
  type Publisher,
  readFailure,
  SubjectReader,
} from '../drivers/index.ts';
import { type Consumption, DeliveryChain, type LimitMessage } from '../engine/index.ts';
import {
  ALL_LIMIT_LOGS,
  err,
  HEADERS,
  LIMIT_CONSUMER,
  limitInputSubject,
  limitLogSubject,
  limitTimerSubject,
  ok,
  parseLimitSubject,
  type Result,
  STREAMS,
} from '../kernel/index.ts';
import { type LimitEntry, limitEntryOf, type StoredLimitEntry } from './model/index.ts';
import type { AskDelivery, LimitJournal, LimitRef, StoredAsk } from './port.ts';

const WRONG_LAST_SEQUENCE = new Set([10071, 10164]);
const STREAM_MISSING = 10059;
const FLOOR_EVERY_MS = 250;
const MAX_IN_FLIGHT = 512;
const decoder = new TextDecoder();

export interface LimitJournalOptions {
  readonly door: NatsDoor;
  readonly report?: (message: string, error?: unknown) => void;
}

/** @param options.door stays the caller's */
export function openLimitJournal(options: LimitJournalOptions): LimitJournal & { close(): void } {
  return new JetStreamLimits(options);
}

class JetStreamLimits implements LimitJournal {
  readonly #options: LimitJournalOptions;
  readonly #jsm: JetStreamManager;
  readonly #reader: SubjectReader;
  readonly #publisher: Publisher;
  readonly #chain = new DeliveryChain();
  #lastAsked = 0;
  #oneReplica: Promise<boolean> | undefined;

  constructor(options: LimitJournalOptions) {
    this.#options = options;
    this.#jsm = options.door.jsm;
    this.#reader = new SubjectReader(options.door.jsm);
    this.#publisher = openPublisher(options.door.nc);
    void this.#watchConnection();
  }

  close(): void {
    this.#publisher.close();
  }

  /** Over a lost connection no chain of deliveries holds. */
  async #watchConnection(): Promise<void> {
    for await (const { type } of this.#options.door.nc.status()) {
      if (type === 'disconnect' || type === 'staleConnection' || type === 'reconnect') this.#chain.reset();
    }
  }

  async entries({ limit, token }: LimitRef): Promise<readonly StoredLimitEntry[]> {
    const subject = limitLogSubject(limit, token);
    const read = ({ seq, data }: StoredMsg): StoredLimitEntry => limitEntryOf(decoder.decode(data), seq, subject);
    const last = await this.#reader.last(STREAMS.limits, subject);
    if (last === null) return [];
    const newest = read(last);
    if (newest.state !== undefined) return [newest];
    const found: StoredMsg[] = [];
    await this.#reader.fill(STREAMS.limits, subject, last, 0, found);
    return found.map(read);
  }

  async append(
    { limit, token }: LimitRef,
    entry: LimitEntry,
    expectedLast: number,
  ): Promise<Result<number, 'conflict'>> {
    const subject = limitLogSubject(limit, token);
    const data = JSON.stringify(entry);
    assertPayload(this.#options.door.nc, data, 'the log entry of', limit);
    const headers: Record<string, string> = { [HEADERS.expectedLastSubjectSequence]: String(expectedLast) };
    if (entry.state !== undefined) headers['Nats-Rollup'] = 'sub';
    const outcome = await this.#publisher.publish(subject, data, headers);
    if (outcome.kind === 'refused' && WRONG_LAST_SEQUENCE.has(outcome.code)) return err('conflict');
    if (outcome.kind === 'unknown') {
      const last = await this.#reader.last(STREAMS.limits, subject);
      if (last !== null && last.seq !== expectedLast) {
        return Buffer.from(data).equals(last.data) ? ok(last.seq) : err('conflict');
      }
    }
    return ok(expectStored(outcome, subject).seq);
  }

  async openAsks(ref: LimitRef, before: number): Promise<readonly StoredAsk[]> {
    const subject = limitInputSubject(ref.limit, ref.token);
    const found: StoredAsk[] = [];
    const alone = await this.#isOneReplica(); // then a direct get is as good as the leader's word
    let from = 1;
    for (;;) {
      const next = await this.#reader.next(STREAMS.asks, subject, from);
      if (next === null || next.seq >= before) return found;
      const more = alone ? await this.#reader.batch(STREAMS.asks, subject, next.seq) : [];
      for (const { seq, time, data } of more.length > 0 ? more : [next]) {
        if (seq < before) found.push({ ref, seq, at: time.getTime(), data });
        from = seq + 1;
      }
    }
  }

  #isOneReplica(): Promise<boolean> {
    this.#oneReplica ??= this.#jsm.streams.info(STREAMS.asks).then(
      ({ config }) => config.num_replicas === 1,
      () => {
        this.#oneReplica = undefined;
        return false;
      },
    );
    return this.#oneReplica;
  }

  async ask({ limit, token }: LimitRef, body: LimitMessage, msgId: string): Promise<void> {
    const subject = limitInputSubject(limit, token);
    expectStored(await this.#publisher.publish(subject, JSON.stringify(body), { [HEADERS.msgId]: msgId }), subject);
  }

  async setTimer({ limit, token }: LimitRef, at: number): Promise<void> {
    const subject = limitTimerSubject(limit, token);
    const body: LimitMessage = { v: 1, kind: 'timer' };
    const headers = {
      'Nats-Schedule': `@at ${new Date(at).toISOString()}`,
      'Nats-Schedule-Target': limitInputSubject(limit, token),
    };
    expectStored(await this.#publisher.publish(subject, JSON.stringify(body), headers), subject);
  }

  async refs(): Promise<readonly LimitRef[]> {
    try {
      const info = await this.#jsm.streams.info(STREAMS.limits, { subjects_filter: ALL_LIMIT_LOGS });
      return Object.keys(info.state.subjects ?? {}).flatMap((subject) => parseLimitSubject(subject) ?? []);
    } catch (error) {
      if (isApiError(error, STREAM_MISSING)) return [];
      throw readFailure('read the limits', error);
    }
  }

  async forget(
    { limit, token: key }: LimitRef,
    { lastEntry, lastInput, token }: { readonly lastEntry: number; readonly lastInput: number; readonly token: number },
  ): Promise<void> {
    const [consumer, asks] = await Promise.all([
      this.#jsm.consumers.info(STREAMS.asks, LIMIT_CONSUMER),
      this.#jsm.streams.info(STREAMS.asks),
    ]);
    if (consumer.ack_floor.stream_seq < lastInput || asks.state.last_seq < token) return;
    await this.#jsm.streams.purge(STREAMS.limits, { filter: limitLogSubject(limit, key), seq: lastEntry + 1 });
  }

  consume(handle: (delivery: AskDelivery) => Promise<void>): Consumption {
    const chain = this.#chain;
    const { report, door } = this.#options;
    return consumeDurable({
      door,
      stream: STREAMS.asks,
      consumer: LIMIT_CONSUMER,
      maxInFlight: MAX_IN_FLIGHT,
      onBind: () => chain.reset(),
      handle: (msg) => {
        chain.observe(msg);
        this.#askFloor();
        return handle(deliveryOf(msg, chain));
      },
      ...(report === undefined ? {} : { report }),
    });
  }

  #askFloor(): void {
    const chain = this.#chain;
    if (!chain.wantsFloor || Date.now() - this.#lastAsked < FLOOR_EVERY_MS) return;
    this.#lastAsked = Date.now();
    const askedAt = chain.ownSince;
    this.#jsm.consumers.info(STREAMS.asks, LIMIT_CONSUMER).then(
      (info) => chain.settle(info.ack_floor.stream_seq, askedAt),
      () => undefined, // only an optimisation: without it there are more look-ups
    );
  }
}

function deliveryOf(msg: Delivered, chain: DeliveryChain): AskDelivery {
  const { seq, at, data, deliveries } = msg;
  return {
    ref: parseLimitSubject(msg.subject) ?? { limit: '', token: '' },
    seq,
    at,
    data,
    deliveries,
    ownSince: chain.ownSince,
    restAcked: chain.restAcked,
    ack: () => msg.ack(),
    nak: (delayMs) => msg.nak(delayMs),
    term: (reason) => msg.term(reason),
  };
}
