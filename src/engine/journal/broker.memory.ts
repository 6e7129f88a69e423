/**
 * A stand-in for the server behind the memory journal: streams, a shared consumer, deliveries, faults.
 *
 * Job: the same promises as JetStream (J1 to J4), deterministic, with a clock that is given. Two ways to run it:
 *   auto     deliveries happen by themselves, for ordinary tests;
 *   manual   nothing moves until `deliver` is called: a simulation owns the order, and with the fault hook it makes acks
 *            disappear, appends collide and clients die before or after any write.
 * Everything is synchronous inside; promises exist because the port has them.
 */
import type { Clock } from '../../kernel/index.ts';
import type { InputDelivery, RunRef, StoredInput } from './port.ts';

/** Where a fault can strike. `seq`: of the input for acks, of the stored message after a write. */
export interface FaultPoint {
  readonly client: string;
  readonly op: 'append' | 'send' | 'ack' | 'read' | 'trim';
  readonly when: 'before' | 'after';
  readonly run: RunRef;
  readonly seq?: number;
}

/**
 * `crash`: the client is dead from here on. `lost`: before a write, it does not happen and fails; after a write, it has
 * happened and fails all the same; an ack does not arrive. `conflict`: an append finds another one there (before only).
 */
export type Fault = 'none' | 'crash' | 'lost' | 'conflict';

export interface MemoryOptions {
  readonly clock: Clock;
  /** `auto` by default. */
  readonly mode?: 'auto' | 'manual';
  /** Milliseconds in which a message id is remembered; 120,000 by default. */
  readonly duplicateWindowMs?: number;
  readonly faults?: (point: FaultPoint) => Fault;
}

/** Thrown into a client that a fault has killed; nothing it does after that has any effect. */
export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash';
}

/** An input that has not been acknowledged or terminated. */
export interface OpenInput {
  readonly seq: number;
  readonly run: RunRef;
  readonly deliveries: number;
  /** Delivered, neither acknowledged nor given back. Delivering it again stands for an ack wait that has passed. */
  readonly out: boolean;
  /** Not before this time (a nak with delay). */
  readonly notBefore: number;
  /** The client it was delivered to last; empty when its acknowledgement was lost, so that nobody holds it. */
  readonly holder: string;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export interface MemoryConsumer {
  readonly client: string;
  readonly handle: (delivery: InputDelivery) => Promise<void>;
  readonly maxInFlight: number;
  /** What the client makes of the delivery's numbers. */
  readonly observe: (fact: { deliverySeq: number; seq: number; deliveries: number }) => {
    contiguous: boolean;
    ownSince: number;
    restAcked: boolean;
  };
  inFlight: number;
  idle: (() => void) | undefined;
}

interface LogMessage {
  readonly seq: number;
  readonly text: string;
}

interface MemoryStream {
  lastSeq: number;
  deliverySeq: number;
  readonly inputs: Map<string, StoredInput[]>;
  readonly logs: Map<string, LogMessage[]>;
  readonly bySeq: Map<number, StoredInput>;
  readonly open: Map<number, Writable<OpenInput>>;
  readonly ids: Map<string, { seq: number; at: number }>;
  readonly consumers: Set<MemoryConsumer>;
  turn: number;
}

export class MemoryBroker {
  readonly clock: Clock;
  readonly mode: 'auto' | 'manual';
  readonly #duplicateWindowMs: number;
  readonly #faults: (point: FaultPoint) => Fault;
  readonly #streams = new Map<string, MemoryStream>();
  readonly #dead = new Set<string>();
  #pumping = false;

  constructor(options: MemoryOptions) {
    this.clock = options.clock;
    this.mode = options.mode ?? 'auto';
    this.#duplicateWindowMs = options.duplicateWindowMs ?? 120_000;
    this.#faults = options.faults ?? (() => 'none');
  }

  stream(workflow: string): MemoryStream {
    let stream = this.#streams.get(workflow);
    if (stream === undefined) {
      stream = {
        lastSeq: 0,
        deliverySeq: 0,
        inputs: new Map(),
        logs: new Map(),
        bySeq: new Map(),
        open: new Map(),
        ids: new Map(),
        consumers: new Set(),
        turn: 0,
      };
      this.#streams.set(workflow, stream);
    }
    return stream;
  }

  /** Kills a client: its consumers are gone, what it does from now on fails and changes nothing. */
  kill(client: string): void {
    this.#dead.add(client);
    for (const { consumers } of this.#streams.values()) {
      for (const consumer of consumers) if (consumer.client === client) consumers.delete(consumer);
    }
  }

  isDead(client: string): boolean {
    return this.#dead.has(client);
  }

  /** Asks the fault hook; throws when the client is dead or dies here. */
  at(point: FaultPoint): Exclude<Fault, 'crash'> {
    if (this.#dead.has(point.client)) throw new SimulatedCrash(`${point.client} is dead`);
    const fault = this.#faults(point);
    if (fault !== 'crash') return fault;
    this.kill(point.client);
    throw new SimulatedCrash(`${point.client} died ${point.when} ${point.op}`);
  }

  storeLog(run: RunRef, text: string, expectedLast: number): number | 'conflict' {
    const stream = this.stream(run.workflow);
    const log = stream.logs.get(run.runId) ?? [];
    if ((log.at(-1)?.seq ?? 0) !== expectedLast) return 'conflict';
    const seq = ++stream.lastSeq;
    log.push({ seq, text });
    stream.logs.set(run.runId, log);
    return seq;
  }

  storeInput(
    run: RunRef,
    data: Uint8Array,
    headers: Readonly<Record<string, string>>,
    msgId: string | undefined,
  ): { seq: number; duplicate: boolean } {
    const stream = this.stream(run.workflow);
    const at = this.clock.now();
    const known = msgId === undefined ? undefined : stream.ids.get(msgId);
    if (known !== undefined && at - known.at < this.#duplicateWindowMs) return { seq: known.seq, duplicate: true };
    const seq = ++stream.lastSeq;
    if (msgId !== undefined) stream.ids.set(msgId, { seq, at });
    const input: StoredInput = { run, seq, at, data, headers };
    stream.inputs.set(run.runId, [...(stream.inputs.get(run.runId) ?? []), input]);
    stream.bySeq.set(seq, input);
    stream.open.set(seq, { seq, run, deliveries: 0, out: false, notBefore: 0, holder: '' });
    this.pump();
    return { seq, duplicate: false };
  }

  /** A deleted input is delivered no more. */
  deleteInputs(run: RunRef, seqs: readonly number[]): void {
    const stream = this.stream(run.workflow);
    const gone = new Set(seqs);
    stream.inputs.set(
      run.runId,
      (stream.inputs.get(run.runId) ?? []).filter(({ seq }) => !gone.has(seq)),
    );
    for (const seq of seqs) {
      stream.bySeq.delete(seq);
      stream.open.delete(seq);
    }
  }

  deleteEntries(run: RunRef, before: number): void {
    const stream = this.stream(run.workflow);
    stream.logs.set(
      run.runId,
      (stream.logs.get(run.runId) ?? []).filter(({ seq }) => seq >= before),
    );
  }

  /** Inputs of the workflow that are neither acknowledged nor terminated, oldest first. */
  openInputs(workflow: string): readonly OpenInput[] {
    return [...this.stream(workflow).open.values()];
  }

  /** Highest sequence up to which everything is acknowledged. */
  floor(workflow: string): number {
    const stream = this.stream(workflow);
    const [first] = stream.open.keys();
    return first === undefined ? stream.lastSeq : first - 1;
  }

  /**
   * Delivers one open input (manual mode) and resolves when its handler has ended.
   * @param client whose consumer gets it; by default the next in turn
   * @returns false when there is no such input or no consumer
   */
  async deliver(workflow: string, seq: number, client?: string): Promise<boolean> {
    const stream = this.stream(workflow);
    const open = stream.open.get(seq);
    const consumers = [...stream.consumers].filter((c) => client === undefined || c.client === client);
    const consumer = consumers[stream.turn++ % Math.max(1, consumers.length)];
    if (open === undefined || consumer === undefined) return false;
    await this.#hand(stream, open, consumer);
    return true;
  }

  /** Makes what is out deliverable again, all of it or some: the ack wait has passed. */
  expireAckWait(workflow: string, which: (open: OpenInput) => boolean = () => true): void {
    for (const open of this.stream(workflow).open.values()) if (open.out && which(open)) open.out = false;
    this.pump();
  }

  /** Auto mode: delivers what is due to whoever has room. */
  pump(): void {
    if (this.mode !== 'auto' || this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      for (const stream of this.#streams.values()) this.#pumpStream(stream);
    });
  }

  #pumpStream(stream: MemoryStream): void {
    for (const open of stream.open.values()) {
      if (open.out || open.notBefore > this.clock.now()) continue;
      const free = [...stream.consumers].filter((consumer) => consumer.inFlight < consumer.maxInFlight);
      const consumer = free[stream.turn++ % Math.max(1, free.length)];
      if (consumer === undefined) return;
      void this.#hand(stream, open, consumer);
    }
  }

  async #hand(stream: MemoryStream, open: Writable<OpenInput>, consumer: MemoryConsumer): Promise<void> {
    const input = stream.bySeq.get(open.seq);
    if (input === undefined) return;
    if (open.deliveries === 0) this.#loseEarlier(stream, open.seq);
    open.deliveries++;
    open.out = true;
    open.holder = consumer.client;
    const fact = { deliverySeq: ++stream.deliverySeq, seq: open.seq, deliveries: open.deliveries };
    const delivery: InputDelivery = {
      ...input,
      deliveries: open.deliveries,
      ...consumer.observe(fact),
      ...this.#settlers(stream, open, consumer.client),
    };
    consumer.inFlight++;
    try {
      await consumer.handle(delivery);
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
    } finally {
      consumer.inFlight--;
      if (consumer.inFlight === 0) consumer.idle?.();
      this.pump();
    }
  }

  /** First deliveries come in the order of the stream: those before this one were delivered and got lost on their way. */
  #loseEarlier(stream: MemoryStream, seq: number): void {
    for (const earlier of stream.open.values()) {
      if (earlier.seq >= seq) return;
      if (earlier.deliveries > 0) continue;
      earlier.deliveries = 1;
      earlier.out = true;
      stream.deliverySeq++;
    }
  }

  #settlers(stream: MemoryStream, open: Writable<OpenInput>, client: string) {
    let settled = false;
    const settle = (then: () => void): void => {
      if (settled || this.#dead.has(client)) return;
      settled = true;
      if (this.at({ client, op: 'ack', when: 'before', run: open.run, seq: open.seq }) === 'lost') {
        open.holder = '';
        return;
      }
      then();
      this.at({ client, op: 'ack', when: 'after', run: open.run, seq: open.seq });
    };
    const done = (): void => void stream.open.delete(open.seq);
    return {
      ack: () => settle(done),
      term: () => settle(done),
      working: () => undefined, // an ack wait passes only when a test says so
      nak: (delayMs = 0) =>
        settle(() => {
          open.out = false;
          open.notBefore = this.clock.now() + delayMs;
          if (this.mode !== 'auto') return;
          if (delayMs === 0) this.pump();
          else void this.clock.sleep(delayMs).then(() => this.pump());
        }),
    };
  }
}
