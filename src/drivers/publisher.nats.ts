/**
 * Publishing with acknowledgement, without a request object per message.
 *
 * One subscription on an own inbox and a token per publish: about twice the rate of the client library's `js.publish`
 * (docs/adr, "own publish path"). A publish ends in one of three ways, and only these:
 *   stored   the server acknowledged it (perhaps as a duplicate);
 *   refused  the server answered with an error code; nothing was stored;
 *   unknown  no answer came (time passed, the connection broke): it may be stored or not, the caller must look.
 */
import { createInbox, type Msg, type MsgHdrs, type NatsConnection, headers as newHeaders } from 'nats';
import { isObject, MillraceError } from '../kernel/index.ts';

export type PublishOutcome =
  | { readonly kind: 'stored'; readonly stream: string; readonly seq: number; readonly duplicate: boolean }
  | { readonly kind: 'refused'; readonly code: number; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string };

export interface Publisher {
  /** Resolves in every case the server or the network can bring about. */
  publish(subject: string, data: Uint8Array, headers: Readonly<Record<string, string>>): Promise<PublishOutcome>;
  /** Ends the subscription; what is outstanding ends as unknown. */
  close(): void;
}

interface Waiting {
  readonly settle: (outcome: PublishOutcome) => void;
  readonly deadline: number;
}

const SWEEP_MS = 250;

/** @param timeoutMs how long an acknowledgement may take before the outcome counts as unknown */
export function openPublisher(nc: NatsConnection, timeoutMs = 5_000): Publisher {
  return new AckedPublisher(nc, timeoutMs);
}

class AckedPublisher implements Publisher {
  readonly #nc: NatsConnection;
  readonly #timeoutMs: number;
  readonly #inbox: string;
  readonly #waiting = new Map<string, Waiting>();
  readonly #sweeper: NodeJS.Timeout;
  readonly #stop: () => void;
  #next = 0;

  constructor(nc: NatsConnection, timeoutMs: number) {
    this.#nc = nc;
    this.#timeoutMs = timeoutMs;
    this.#inbox = createInbox();
    const subscription = nc.subscribe(`${this.#inbox}.*`, { callback: (error, msg) => this.#answer(error, msg) });
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    this.#stop = () => subscription.unsubscribe();
    void this.#watchConnection();
  }

  publish(subject: string, data: Uint8Array, headers: Readonly<Record<string, string>>): Promise<PublishOutcome> {
    if (this.#nc.isClosed()) return Promise.resolve({ kind: 'unknown', reason: 'the connection is closed' });
    const token = (this.#next++).toString(36);
    return new Promise((resolve) => {
      this.#waiting.set(token, { settle: resolve, deadline: Date.now() + this.#timeoutMs });
      this.#nc.publish(subject, data, { reply: `${this.#inbox}.${token}`, headers: toHeaders(headers) });
    });
  }

  close(): void {
    clearInterval(this.#sweeper);
    if (!this.#nc.isClosed()) this.#stop();
    this.#fail('the publisher was closed');
  }

  #answer(error: Error | null, msg: Msg): void {
    if (error !== null) return;
    const token = msg.subject.slice(this.#inbox.length + 1);
    const waiting = this.#waiting.get(token);
    if (waiting === undefined) return;
    this.#waiting.delete(token);
    waiting.settle(outcomeOf(msg));
  }

  #sweep(): void {
    const now = Date.now();
    // Deadlines only grow, so the first that is not due ends the walk.
    for (const [token, waiting] of this.#waiting) {
      if (waiting.deadline > now) return;
      this.#waiting.delete(token);
      waiting.settle({ kind: 'unknown', reason: `no acknowledgement within ${this.#timeoutMs} ms` });
    }
  }

  #fail(reason: string): void {
    for (const waiting of this.#waiting.values()) waiting.settle({ kind: 'unknown', reason });
    this.#waiting.clear();
  }

  async #watchConnection(): Promise<void> {
    for await (const status of this.#nc.status()) {
      // The acknowledgements of a broken connection never come; waiting for the deadline would only lose time.
      if (status.type === 'disconnect' || status.type === 'staleConnection') this.#fail('the connection was lost');
    }
    this.close();
  }
}

function outcomeOf(msg: Msg): PublishOutcome {
  if (msg.headers?.code === 503) return { kind: 'refused', code: 503, reason: 'no stream listens on the subject' };
  let ack: unknown;
  try {
    ack = msg.json();
  } catch {
    return { kind: 'unknown', reason: 'the acknowledgement is not JSON' };
  }
  if (!isObject(ack)) return { kind: 'unknown', reason: 'the acknowledgement is not an object' };
  const { error, stream, seq, duplicate } = ack;
  if (isObject(error)) {
    return {
      kind: 'refused',
      code: Number(error['err_code'] ?? error['code'] ?? 0),
      reason: String(error['description']),
    };
  }
  return { kind: 'stored', stream: String(stream), seq: Number(seq), duplicate: duplicate === true };
}

function toHeaders(plain: Readonly<Record<string, string>>): MsgHdrs {
  const headers = newHeaders();
  for (const name in plain) headers.set(name, plain[name] ?? '');
  return headers;
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
