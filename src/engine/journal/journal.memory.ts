/** The journal in memory: what one client sees of a {@link MemoryBroker}. Several clients of one broker are several processes. */
import { err, MillraceError, ok, type Result } from '../../kernel/index.ts';
import { type InputBody, type LogEntry, type StoredEntry, storedEntry } from '../model/index.ts';
import { MemoryBroker, type MemoryConsumer, type MemoryOptions } from './broker.memory.ts';
import { DeliveryChain } from './chain.ts';
import type { Consumption, InputDelivery, Journal, RunRef, SendOptions, StoredInput } from './port.ts';

const encoder = new TextEncoder();

export class MemoryJournal implements Journal {
  readonly broker: MemoryBroker;
  readonly client: string;

  /** @param from options for a broker of its own, or the broker to share */
  constructor(from: MemoryOptions | MemoryBroker, client = 'c1') {
    this.broker = from instanceof MemoryBroker ? from : new MemoryBroker(from);
    this.client = client;
  }

  async entries(run: RunRef, after = 0): Promise<readonly StoredEntry[]> {
    this.#read(run);
    const log = this.broker.stream(run.workflow).logs.get(run.runId) ?? [];
    return log.filter(({ seq }) => seq > after).map(({ seq, text }) => storedEntry(JSON.parse(text), seq));
  }

  async append(run: RunRef, entry: LogEntry, expectedLast: number): Promise<Result<number, 'conflict'>> {
    const before = this.broker.at({ client: this.client, op: 'append', when: 'before', run });
    if (before === 'conflict') return err('conflict');
    if (before === 'lost') throw lost('append');
    const stored = this.broker.storeLog(run, JSON.stringify(entry), expectedLast);
    if (stored === 'conflict') return err('conflict');
    const after = this.broker.at({ client: this.client, op: 'append', when: 'after', run, seq: stored });
    if (after === 'lost') throw lost('append');
    return ok(stored);
  }

  async inputsBetween(run: RunRef, after: number, before: number): Promise<readonly StoredInput[]> {
    this.#read(run);
    const inputs = this.broker.stream(run.workflow).inputs.get(run.runId) ?? [];
    return inputs.filter(({ seq }) => seq > after && seq < before);
  }

  async send(run: RunRef, body: InputBody, options: SendOptions): Promise<{ seq: number; duplicate: boolean }> {
    return this.sendRaw(run, encoder.encode(JSON.stringify(body)), options);
  }

  /** Stores bytes as they are: what anyone may publish, poison included. */
  async sendRaw(run: RunRef, data: Uint8Array, options: Partial<SendOptions> = {}) {
    const before = this.broker.at({ client: this.client, op: 'send', when: 'before', run });
    if (before === 'lost') throw lost('send');
    const known = options.first === true ? this.broker.stream(run.workflow).inputs.get(run.runId)?.[0] : undefined;
    const stored =
      known === undefined
        ? this.broker.storeInput(run, data, options.headers ?? {}, options.first === true ? undefined : options.msgId)
        : { seq: known.seq, duplicate: true };
    const after = this.broker.at({ client: this.client, op: 'send', when: 'after', run, seq: stored.seq });
    if (after === 'lost') throw lost('send');
    return stored;
  }

  async consume(
    workflow: string,
    handle: (delivery: InputDelivery) => Promise<void>,
    options: { readonly maxInFlight?: number } = {},
  ): Promise<Consumption> {
    const chain = new DeliveryChain(2); // impatient, so that short simulations get there
    const consumer: MemoryConsumer = {
      client: this.client,
      handle,
      maxInFlight: options.maxInFlight ?? 256,
      inFlight: 0,
      idle: undefined,
      observe: (fact) => {
        const contiguous = chain.observe(fact);
        if (chain.wantsFloor) chain.settle(this.broker.floor(workflow), chain.ownSince);
        return { contiguous, ownSince: chain.ownSince, restAcked: chain.restAcked };
      },
    };
    const { consumers } = this.broker.stream(workflow);
    consumers.add(consumer);
    this.broker.pump();
    return {
      stop: async () => {
        consumers.delete(consumer);
        if (consumer.inFlight > 0) await new Promise<void>((resolve) => (consumer.idle = resolve));
      },
    };
  }

  async trim(run: RunRef, before: number, inputs: readonly number[]): Promise<void> {
    const fault = this.broker.at({ client: this.client, op: 'trim', when: 'before', run });
    if (fault === 'lost') throw lost('trim');
    this.broker.deleteInputs(run, inputs);
    const between = this.broker.at({ client: this.client, op: 'trim', when: 'after', run });
    if (between === 'lost') throw lost('trim'); // the inputs are gone, the entries are not
    this.broker.deleteEntries(run, before);
  }

  async runIds(workflow: string): Promise<readonly string[]> {
    return [...this.broker.stream(workflow).logs.keys()];
  }

  #read(run: RunRef): void {
    if (this.broker.at({ client: this.client, op: 'read', when: 'before', run }) === 'lost') throw lost('read');
  }
}

function lost(what: string): MillraceError {
  return new MillraceError('MR_NATS', `the answer to this ${what} was lost`, { hint: 'a fault of the simulation' });
}
