/** Limits in memory: what one client sees of a {@link MemoryBroker}. Several clients of one broker are several processes. */
import {
  type Consumption,
  DeliveryChain,
  type InputDelivery,
  type LimitMessage,
  type MemoryBroker,
} from '../engine/index.ts';
import { err, MillraceError, ok, type Result } from '../kernel/index.ts';
import { type LimitEntry, limitEntryOf, type StoredLimitEntry } from './model/index.ts';
import type { AskDelivery, LimitJournal, LimitRef, StoredAsk } from './port.ts';

/** The broker's stream that stands for both of ours. */
const STREAM = 'limits';
const IMPATIENT = 2;
const encoder = new TextEncoder();

const runOf = ({ limit, token }: LimitRef) => ({ workflow: STREAM, runId: `${limit}|${token}` });

function refOf(runId: string): LimitRef {
  const [limit = '', token = ''] = runId.split('|');
  return { limit, token };
}

export class MemoryLimits implements LimitJournal {
  readonly #broker: MemoryBroker;
  readonly #client: string;
  /** Timers by key, as the server has them. */
  readonly timers: Map<string, { readonly ref: LimitRef; readonly at: number }>;

  /** @param timers shared by the clients of a broker */
  constructor(broker: MemoryBroker, client: string, timers: MemoryLimits['timers'] = new Map()) {
    this.#broker = broker;
    this.#client = client;
    this.timers = timers;
  }

  async entries(ref: LimitRef): Promise<readonly StoredLimitEntry[]> {
    const { runId } = runOf(ref);
    this.#read(ref);
    const log = this.#broker.stream(STREAM).logs.get(runId) ?? [];
    return log.map(({ seq, text }) => limitEntryOf(text, seq, runId));
  }

  async append(ref: LimitRef, entry: LimitEntry, expectedLast: number): Promise<Result<number, 'conflict'>> {
    const run = runOf(ref);
    const before = this.#broker.at({ client: this.#client, op: 'append', when: 'before', run });
    if (before === 'conflict') return err('conflict');
    if (before === 'lost') throw lost('append');
    const text = JSON.stringify(entry);
    const stored = this.#broker.storeLog(run, text, expectedLast);
    if (stored === 'conflict') return err('conflict');
    if (entry.state !== undefined) this.#broker.stream(STREAM).logs.set(run.runId, [{ seq: stored, text }]);
    const after = this.#broker.at({ client: this.#client, op: 'append', when: 'after', run, seq: stored });
    if (after === 'lost') throw lost('append');
    return ok(stored);
  }

  async openAsks(ref: LimitRef, before: number): Promise<readonly StoredAsk[]> {
    this.#read(ref);
    const { inputs, open } = this.#broker.stream(STREAM);
    return (inputs.get(runOf(ref).runId) ?? [])
      .filter(({ seq }) => seq < before && open.has(seq))
      .map(({ seq, at, data }) => ({ ref, seq, at, data }));
  }

  async ask(ref: LimitRef, body: LimitMessage, msgId: string): Promise<void> {
    this.store(ref, body, msgId);
  }

  /** What anybody may do; the schedule's firing among it, which has no id. */
  store(ref: LimitRef, body: LimitMessage, msgId?: string): void {
    const run = runOf(ref);
    if (this.#broker.at({ client: this.#client, op: 'send', when: 'before', run }) === 'lost') throw lost('send');
    const { seq } = this.#broker.storeInput(run, encoder.encode(JSON.stringify(body)), {}, msgId);
    if (this.#broker.at({ client: this.#client, op: 'send', when: 'after', run, seq }) === 'lost') throw lost('send');
  }

  async setTimer(ref: LimitRef, at: number): Promise<void> {
    if (this.#broker.at({ client: this.#client, op: 'send', when: 'before', run: runOf(ref) }) === 'lost') {
      throw lost('timer');
    }
    this.timers.set(runOf(ref).runId, { ref, at });
  }

  async refs(): Promise<readonly LimitRef[]> {
    return [...this.#broker.stream(STREAM).logs.keys()].map(refOf);
  }

  async forget(
    ref: LimitRef,
    { lastEntry, lastInput, token }: { readonly lastEntry: number; readonly lastInput: number; readonly token: number },
  ): Promise<void> {
    const { logs, lastSeq } = this.#broker.stream(STREAM);
    const { runId } = runOf(ref);
    if (this.#broker.floor(STREAM) < lastInput || lastSeq < token) return;
    if (logs.get(runId)?.at(-1)?.seq === lastEntry) logs.delete(runId);
  }

  consume(handle: (delivery: AskDelivery) => Promise<void>): Consumption {
    const { consumers } = this.#broker.stream(STREAM);
    const chain = new DeliveryChain(IMPATIENT);
    const consumer = {
      client: this.#client,
      handle: (delivery: InputDelivery) => handle(deliveryOf(delivery)),
      maxInFlight: 256,
      inFlight: 0,
      idle: undefined as (() => void) | undefined,
      observe: (fact: { deliverySeq: number; seq: number; deliveries: number }) => {
        const contiguous = chain.observe(fact);
        if (chain.wantsFloor) chain.settle(this.#broker.floor(STREAM), chain.ownSince);
        return { contiguous, ownSince: chain.ownSince, restAcked: chain.restAcked };
      },
    };
    consumers.add(consumer);
    this.#broker.pump();
    return {
      stop: async () => {
        consumers.delete(consumer);
        if (consumer.inFlight > 0) await new Promise<void>((resolve) => (consumer.idle = resolve));
      },
    };
  }

  #read(ref: LimitRef): void {
    if (this.#broker.at({ client: this.#client, op: 'read', when: 'before', run: runOf(ref) }) === 'lost')
      throw lost('read');
  }
}

function deliveryOf(delivery: InputDelivery): AskDelivery {
  const { run, seq, at, data, deliveries, ownSince, restAcked } = delivery;
  return {
    ref: refOf(run.runId),
    ...{ seq, at, data, deliveries, ownSince, restAcked },
    ack: () => delivery.ack(),
    nak: (delayMs) => delivery.nak(delayMs),
    term: (reason) => delivery.term(reason),
  };
}

function lost(what: string): MillraceError {
  return new MillraceError('MR_NATS', `the answer to this ${what} was lost`, { hint: 'a fault of the simulation' });
}
