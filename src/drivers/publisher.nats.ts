/**
 * Publishing with acknowledgement, without a request object per message.
 *
 * One subscription on an own inbox and a number per publish: more than twice the rate of the client library's `js.publish`
 * (docs/adr, "own publish path"). A publish ends in one of three ways, and only these:
 *   stored   the server acknowledged it (perhaps as a duplicate);
 *   refused  the server answered with an error code; nothing was stored;
 *   unknown  no answer came (time passed, the connection broke): it may be stored or not, the caller must look.
 */
import { createInbox, type Msg, type MsgHdrs, type NatsConnection } from 'nats';
import { MillraceError } from '../kernel/index.ts';
import { type Wire, wireOf } from './gather.nats.ts';
import { type Headers, headerLines } from './headers.ts';
import { AckReader } from './pub-ack.ts';
import type { Payload, Publisher, PublishOutcome, Settle } from './publishing.ts';

const SWEEP_MS = 250;
const CLOSED = 'the publisher was closed';

/** @param timeoutMs how long an acknowledgement may take before the outcome counts as unknown */
export function openPublisher(nc: NatsConnection, timeoutMs = 5_000): Publisher {
  return new AckedPublisher(nc, timeoutMs);
}

/** Where one answer is waited for. */
class Slot {
  readonly reply: string;
  /** Undefined while nobody waits. */
  settle: Settle | undefined;
  /** The sweep at which it has waited long enough. */
  due = 0;

  constructor(reply: string) {
    this.reply = reply;
  }
}

class AckedPublisher implements Publisher {
  readonly #nc: NatsConnection;
  readonly #wire: Wire;
  readonly #timeoutMs: number;
  /** Sweeps until an answer counts as missing: one more than fit, for the one that is about to come. */
  readonly #patience: number;
  /** Subject of answers up to and including the last dot. */
  readonly #inbox: string;
  /** By the number at the end of their subject. */
  readonly #slots: (Slot | undefined)[] = [];
  /**
   * Numbers to use again, the last freed first: the fewer subjects there are, the more often the server finds where an answer
   * goes in its cache. One whose answer never came is not used again: it may come yet.
   */
  readonly #free: number[] = [];
  readonly #acks = new AckReader();
  readonly #sweeper: NodeJS.Timeout;
  readonly #stop: () => void;
  #waiting = 0;
  #sweeps = 0;
  #closed = false;

  constructor(nc: NatsConnection, timeoutMs: number) {
    this.#nc = nc;
    this.#wire = wireOf(nc);
    this.#timeoutMs = timeoutMs;
    this.#patience = Math.ceil(timeoutMs / SWEEP_MS) + 1;
    this.#inbox = `${createInbox()}.`;
    const subscription = nc.subscribe(`${this.#inbox}*`, { callback: (error, msg) => this.#answer(error, msg) });
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    this.#stop = () => subscription.unsubscribe();
    void this.#watchConnection();
  }

  publish(subject: string, data: Payload, headers: Headers): Promise<PublishOutcome> {
    return new Promise((resolve) => this.send(subject, data, headerLines(headers), resolve));
  }

  send(subject: string, data: Payload, lines: string, settle: Settle): void {
    if (this.#nc.isClosed()) return settle({ kind: 'unknown', reason: 'the connection is closed' });
    if (this.#closed) return settle({ kind: 'unknown', reason: CLOSED });
    const number = this.#free.pop() ?? this.#slots.length;
    let slot = this.#slots[number];
    if (slot === undefined) {
      slot = new Slot(this.#inbox + number);
      this.#slots[number] = slot;
    }
    try {
      this.#wire.publish(subject, slot.reply, lines, data);
    } catch (error) {
      this.#free.push(number);
      throw error;
    }
    // Its answer comes in a later turn of the event loop, so it is early enough to say now who waits for it.
    slot.settle = settle;
    slot.due = this.#sweeps + this.#patience;
    this.#waiting++;
  }

  post(subject: string, data: Payload, lines: string): void {
    this.#wire.publish(subject, '', lines, data);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweeper);
    if (!this.#nc.isClosed()) this.#stop();
    this.#fail(CLOSED);
  }

  #answer(error: Error | null, msg: Msg): void {
    if (error !== null) return;
    const number = Number(msg.subject.slice(this.#inbox.length));
    const slot = this.#slots[number];
    const settle = slot?.settle;
    if (slot === undefined || settle === undefined) return;
    slot.settle = undefined;
    this.#free.push(number);
    this.#waiting--;
    settle(this.#outcomeOf(msg));
  }

  #outcomeOf(msg: Msg): PublishOutcome {
    const { data } = msg;
    if (data.length === 0 && msg.headers?.code === 503) {
      return { kind: 'refused', code: 503, reason: 'no stream listens on the subject' };
    }
    return this.#acks.read(data);
  }

  /** Counts time in its own turns: no clock per publish, and time in which this process stood still does not count. */
  #sweep(): void {
    this.#sweeps++;
    if (this.#waiting > 0) this.#giveUp(`no acknowledgement within ${this.#timeoutMs} ms`, this.#sweeps);
  }

  #fail(reason: string): void {
    this.#giveUp(reason, Number.POSITIVE_INFINITY);
  }

  /** Ends those that are due; their numbers are lost. */
  #giveUp(reason: string, due: number): void {
    const lost: Settle[] = [];
    for (const [number, slot] of this.#slots.entries()) {
      if (slot?.settle === undefined || slot.due > due) continue;
      lost.push(slot.settle);
      this.#slots[number] = undefined;
    }
    this.#waiting -= lost.length;
    for (const settle of lost) settle({ kind: 'unknown', reason });
  }

  async #watchConnection(): Promise<void> {
    for await (const status of this.#nc.status()) {
      // The acknowledgements of a broken connection never come; waiting for the deadline would only lose time.
      if (status.type === 'disconnect' || status.type === 'staleConnection') this.#fail('the connection was lost');
    }
    this.close();
  }
}

/** First value of each header. */
export function plainHeaders(headers: MsgHdrs | undefined): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [name, values] of headers ?? []) plain[name] = values[0] ?? '';
  return plain;
}

/**
 * The acknowledgement, or the error a caller that has no better answer throws.
 * @throws MillraceError MR_NATS
 */
export function expectStored(
  outcome: PublishOutcome,
  subject: string,
): { readonly stream: string; readonly seq: number; readonly duplicate: boolean } {
  if (outcome.kind === 'stored') return outcome;
  throw new MillraceError('MR_NATS', `nothing stored on ${subject}: ${outcome.reason}`, {
    hint:
      outcome.kind === 'refused' && outcome.code === 503
        ? 'its stream does not exist; run `millrace apply`'
        : 'check that JetStream is healthy with `millrace doctor`',
  });
}
