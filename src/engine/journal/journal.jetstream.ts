/**
 * The journal on JetStream: one stream per workflow, one literal subject per run and side.
 *
 * Boundary: the only place that reads or writes `wf.*` subjects for the engine. It creates no stream and no consumer.
 *   J1 the fence is `Nats-Expected-Last-Subject-Sequence`; codes 10071 and 10164 both mean conflict;
 *   J2 reads ask the stream's leader for the end of the log; direct gets only fill in what lies before it;
 *   an append whose acknowledgement is lost is looked up: our own entry (the same bytes) is a success.
 */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from 'nats';
import {
  assertPayload,
  type Committer,
  type CommitterOptions,
  consumeDurable,
  expectStored,
  isApiError,
  type NatsDoor,
  openCommitter,
  type PublishOutcome,
  plainHeaders,
  readFailure,
  SubjectReader,
} from '../../drivers/index.ts';
import {
  allLogs,
  CONTROLLER_CONSUMER,
  err,
  HEADERS,
  inputSubject,
  logSubject,
  ok,
  parseRunSubject,
  type Result,
  workflowStream,
} from '../../kernel/index.ts';
import type { InputBody, LogEntry, StoredEntry } from '../model/index.ts';
import { DeliveryChain } from './chain.ts';
import { JetStreamDelivery } from './delivery.jetstream.ts';
import { entryOf } from './entry.ts';
import type { Consumption, InputDelivery, Journal, RunRef, SendOptions, StoredInput } from './port.ts';

const WRONG_LAST_SEQUENCE = new Set([10071, 10164]);
const STREAM_MISSING = 10059;
const FLOOR_EVERY_MS = 250;
const DELETE_FAILED = 10057;
const TRIM_AT_ONCE = 50;

export interface JetStreamJournalOptions extends CommitterOptions {
  /** Inputs handled at once in this process; 256 by default. */
  readonly maxInFlight?: number;
  /** Told when a consumer goes away, comes back, or a handler throws. */
  readonly report?: (message: string, error?: unknown) => void;
}

/** @param door stays the caller's: closing the journal does not close it */
export function openJournal(door: NatsDoor, options: JetStreamJournalOptions = {}): Journal & { close(): void } {
  return new JetStreamJournal(door, options);
}

class JetStreamJournal implements Journal {
  readonly #door: NatsDoor;
  readonly #nc: NatsConnection;
  readonly #jsm: JetStreamManager;
  readonly #reader: SubjectReader;
  readonly #committer: Committer;
  readonly #options: JetStreamJournalOptions;
  readonly #chains = new Set<DeliveryChain>();

  constructor(door: NatsDoor, options: JetStreamJournalOptions) {
    this.#door = door;
    this.#nc = door.nc;
    this.#jsm = door.jsm;
    this.#reader = new SubjectReader(door.jsm);
    this.#committer = openCommitter(door, options);
    this.#options = options;
    void this.#watchConnection();
  }

  /** Over a lost connection no chain of deliveries holds: the server may have been killed and count from further back. */
  async #watchConnection(): Promise<void> {
    for await (const { type } of this.#nc.status()) {
      if (type !== 'disconnect' && type !== 'staleConnection' && type !== 'reconnect') continue;
      for (const chain of this.#chains) chain.reset();
    }
  }

  close(): void {
    this.#committer.close();
  }

  async entries(run: RunRef, after = 0): Promise<readonly StoredEntry[]> {
    const subject = logSubject(run.workflow, run.runId);
    const stream = workflowStream(run.workflow);
    const [last, early] = await Promise.all([
      this.#reader.last(stream, subject),
      this.#reader.batch(stream, subject, after + 1),
    ]);
    if (last === null || last.seq <= after) return [];
    const found = early.filter((msg) => msg.seq <= last.seq);
    await this.#reader.fill(stream, subject, last, found.at(-1)?.seq ?? after, found);
    return found.map((msg) => entryOf(msg, subject));
  }

  append(run: RunRef, entry: LogEntry, expectedLast: number): Promise<Result<number, 'conflict'>> {
    return new Promise((resolve, reject) => {
      const subject = logSubject(run.workflow, run.runId);
      const data = JSON.stringify(entry);
      assertPayload(this.#nc, data, 'the log entry of run', run.runId);
      const headers = { [HEADERS.expectedLastSubjectSequence]: String(expectedLast) };
      const ended = (outcome: PublishOutcome): void => {
        if (outcome.kind === 'stored') resolve(ok(outcome.seq));
        else this.#notStored(run, subject, data, expectedLast, outcome).then(resolve, reject);
      };
      this.#committer.send(workflowStream(run.workflow), subject, data, headers, ended, reject);
    });
  }

  async #notStored(
    { workflow }: RunRef,
    subject: string,
    data: string,
    expectedLast: number,
    outcome: PublishOutcome,
  ): Promise<Result<number, 'conflict'>> {
    if (outcome.kind === 'refused' && WRONG_LAST_SEQUENCE.has(outcome.code)) return err('conflict');
    if (outcome.kind === 'unknown') {
      const stored = await this.#reader.next(workflowStream(workflow), subject, expectedLast + 1);
      // The whole entry: several of a durable function's may have one cause.
      if (stored !== null) return Buffer.from(data).equals(stored.data) ? ok(stored.seq) : err('conflict');
    }
    return ok(expectStored(outcome, subject).seq);
  }

  async inputsBetween(run: RunRef, after: number, before: number): Promise<readonly StoredInput[]> {
    const subject = inputSubject(run.workflow, run.runId);
    const found: StoredInput[] = [];
    let seq = after + 1;
    while (seq < before) {
      const msg = await this.#reader.next(workflowStream(run.workflow), subject, seq);
      if (msg === null || msg.seq >= before) break;
      found.push({ run, seq: msg.seq, at: msg.time.getTime(), data: msg.data, headers: plainHeaders(msg.header) });
      seq = msg.seq + 1;
    }
    return found;
  }

  async send(run: RunRef, body: InputBody, options: SendOptions): Promise<{ seq: number; duplicate: boolean }> {
    const subject = inputSubject(run.workflow, run.runId);
    const data = JSON.stringify(body);
    assertPayload(this.#nc, data, `the ${body.kind} input of run`, run.runId);
    const fence = options.first === true;
    const mark = fence ? { [HEADERS.expectedLastSubjectSequence]: '0' } : { [HEADERS.msgId]: options.msgId };
    const headers = options.headers === undefined ? mark : { ...options.headers, ...mark };
    const outcome = await this.#committer.publish(workflowStream(run.workflow), subject, data, headers);
    if (fence && outcome.kind !== 'stored') return this.#firstInput(run, subject, outcome);
    const { seq, duplicate } = expectStored(outcome, subject);
    return { seq, duplicate };
  }

  /** Refused as not the first, or perhaps stored: the run's first input is this one, sent by us before. */
  async #firstInput(
    { workflow }: RunRef,
    subject: string,
    outcome: PublishOutcome,
  ): Promise<{ seq: number; duplicate: boolean }> {
    const refused = outcome.kind === 'refused' && WRONG_LAST_SEQUENCE.has(outcome.code);
    if (refused || outcome.kind === 'unknown') {
      const stored = await this.#reader.next(workflowStream(workflow), subject, 1);
      if (stored !== null) return { seq: stored.seq, duplicate: true };
    }
    return { seq: expectStored(outcome, subject).seq, duplicate: false };
  }

  async consume(
    workflow: string,
    handle: (delivery: InputDelivery) => Promise<void>,
    options: { readonly maxInFlight?: number } = {},
  ): Promise<Consumption> {
    const stream = workflowStream(workflow);
    const chain = new DeliveryChain();
    this.#chains.add(chain);
    let lastAsked = 0;
    const askFloor = (): void => {
      if (!chain.wantsFloor || Date.now() - lastAsked < FLOOR_EVERY_MS) return;
      lastAsked = Date.now();
      const askedAt = chain.ownSince;
      this.#jsm.consumers.info(stream, CONTROLLER_CONSUMER).then(
        (info) => chain.settle(info.ack_floor.stream_seq, askedAt),
        () => undefined, // only an optimisation: without it there are more look-ups
      );
    };
    const { report } = this.#options;
    const consumption = consumeDurable({
      door: this.#door,
      stream,
      consumer: CONTROLLER_CONSUMER,
      maxInFlight: options.maxInFlight ?? this.#options.maxInFlight ?? 256,
      onBind: () => chain.reset(),
      handle: (msg) => {
        const contiguous = chain.observe(msg);
        askFloor();
        return handle(new JetStreamDelivery(msg, contiguous, chain));
      },
      ...(report === undefined ? {} : { report }),
    });
    return {
      get bound() {
        return consumption.bound;
      },
      stop: async () => {
        await consumption.stop();
        this.#chains.delete(chain);
      },
    };
  }

  async trim(run: RunRef, before: number, inputs: readonly number[]): Promise<void> {
    const stream = workflowStream(run.workflow);
    try {
      // First the inputs: whether one that comes again was recorded is known from the entries.
      for (let at = 0; at < inputs.length; at += TRIM_AT_ONCE) {
        await Promise.all(inputs.slice(at, at + TRIM_AT_ONCE).map((seq) => this.#delete(stream, seq)));
      }
      await this.#jsm.streams.purge(stream, { filter: logSubject(run.workflow, run.runId), seq: before });
    } catch (error) {
      throw readFailure(`trim run ${run.runId}`, error);
    }
  }

  async #delete(stream: string, seq: number): Promise<void> {
    try {
      await this.#jsm.streams.deleteMessage(stream, seq, false);
    } catch (error) {
      if (!isApiError(error, DELETE_FAILED)) throw error; // it is gone already
    }
  }

  async runIds(workflow: string): Promise<readonly string[]> {
    try {
      const info = await this.#jsm.streams.info(workflowStream(workflow), { subjects_filter: allLogs(workflow) });
      return Object.keys(info.state.subjects ?? {}).flatMap((subject) => parseRunSubject(subject)?.runId ?? []);
    } catch (error) {
      if (isApiError(error, STREAM_MISSING)) return [];
      throw readFailure(`read the runs of workflow ${workflow}`, error);
    }
  }
}
