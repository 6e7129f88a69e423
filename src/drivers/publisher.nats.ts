/**
 * Publishing with acknowledgement, without a request object per message.
 *
 * One subscription on an own inbox and a number per publish: more than twice the rate of the client library's `js.publish`
 * (docs/adr, "own publish path"). A publish ends in one of three ways, and only these:
 *   stored   the server acknowledged it (perhaps as a duplicate);
 *   refused  the server answered with an error code; nothing was stored;
 *   unknown  no answer came (time passed, the connection broke): it may be stored or not, the caller must look.
 */
import { createInbox, type Msg, type MsgHdrs, type NatsConnection, headers as newHeaders } from 'nats';
import { MillraceError } from '../kernel/index.ts';
import { encodeHeaders, type Headers } from './headers.ts';
import { AckReader } from './pub-ack.ts';
import type { Publisher, PublishOutcome, Settle } from './publishing.ts';

interface Waiting {
  readonly settle: Settle;
  /** The sweep at which it has waited long enough. */
  readonly due: number;
}

const SWEEP_MS = 250;
const CLOSED = 'the publisher was closed';

/** @param timeoutMs how long an acknowledgement may take before the outcome counts as unknown */
export function openPublisher(nc: NatsConnection, timeoutMs = 5_000): Publisher {
  return new AckedPublisher(nc, timeoutMs);
}

class AckedPublisher implements Publisher {
  readonly #nc: NatsConnection;
  readonly #timeoutMs: number;
  /** Sweeps until an answer counts as missing: one more than fit, for the one that is about to come. */
  readonly #patience: number;
  /** Subject of answers up to and including the last dot. */
  readonly #inbox: string;
  readonly #waiting = new Map<number, Waiting>();
  readonly #acks = new AckReader();
  readonly #carrier = new Carrier();
  readonly #options: { reply: string; headers: MsgHdrs };
  readonly #unanswered: { headers: MsgHdrs };
  readonly #sweeper: NodeJS.Timeout;
  readonly #stop: () => void;
  #next = 0;
  #sweeps = 0;
  #closed = false;

  constructor(nc: NatsConnection, timeoutMs: number) {
    this.#nc = nc;
    this.#timeoutMs = timeoutMs;
    this.#patience = Math.ceil(timeoutMs / SWEEP_MS) + 1;
    this.#inbox = `${createInbox()}.`;
    this.#options = { reply: '', headers: this.#carrier.headers };
    this.#unanswered = { headers: this.#carrier.headers };
    const subscription = nc.subscribe(`${this.#inbox}*`, { callback: (error, msg) => this.#answer(error, msg) });
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    this.#stop = () => subscription.unsubscribe();
    void this.#watchConnection();
  }

  publish(subject: string, data: Uint8Array, headers: Headers): Promise<PublishOutcome> {
    return new Promise((resolve) => this.send(subject, data, encodeHeaders(headers), resolve));
  }

  send(subject: string, data: Uint8Array, headers: Uint8Array, settle: Settle): void {
    if (this.#nc.isClosed()) return settle({ kind: 'unknown', reason: 'the connection is closed' });
    if (this.#closed) return settle({ kind: 'unknown', reason: CLOSED });
    const token = this.#next++;
    this.#options.reply = this.#inbox + token;
    this.#carrier.bytes = headers;
    this.#nc.publish(subject, data, this.#options);
    // Its answer comes in a later turn of the event loop, so it is early enough to say now who waits for it.
    this.#waiting.set(token, { settle, due: this.#sweeps + this.#patience });
  }

  post(subject: string, data: Uint8Array, headers: Uint8Array): void {
    this.#carrier.bytes = headers;
    this.#nc.publish(subject, data, this.#unanswered);
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
    const token = Number(msg.subject.slice(this.#inbox.length));
    const waiting = this.#waiting.get(token);
    if (waiting === undefined) return;
    this.#waiting.delete(token);
    waiting.settle(this.#outcomeOf(msg));
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
    const now = ++this.#sweeps;
    // What is due only grows, so the first that is not due ends the walk.
    for (const [token, waiting] of this.#waiting) {
      if (waiting.due > now) return;
      this.#waiting.delete(token);
      waiting.settle({ kind: 'unknown', reason: `no acknowledgement within ${this.#timeoutMs} ms` });
    }
  }

  #fail(reason: string): void {
    const lost = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const waiting of lost) waiting.settle({ kind: 'unknown', reason });
  }

  async #watchConnection(): Promise<void> {
    for await (const status of this.#nc.status()) {
      // The acknowledgements of a broken connection never come; waiting for the deadline would only lose time.
      if (status.type === 'disconnect' || status.type === 'staleConnection') this.#fail('the connection was lost');
    }
    this.close();
  }
}

/**
 * Headers for the client library that are bytes already. Of the headers it is given, its `publish` calls nothing but
 * `encode`, at once, so one object serves all publishes. test/integration/publisher.test.ts tells when that changes.
 */
class Carrier {
  bytes: Uint8Array = new Uint8Array(0);
  readonly headers: MsgHdrs = Object.assign(newHeaders(), { encode: (): Uint8Array => this.bytes });
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
