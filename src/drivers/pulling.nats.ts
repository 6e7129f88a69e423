/**
 * Requests for messages of a pull consumer, counted: one binding to it, from the first request to the moment when it is no
 * longer certain what the server still owes.
 *
 * Job: keep asking for what there is room for, over one subscription with a callback. Boundary: knows no handler; when the
 * consumer is gone, the connection was new, or the server is silent, it ends, and whoever owns it binds anew: requests made
 * on an inbox nobody listens on any more bring nothing, so nothing is ever counted twice.
 */
import { createInbox, type Msg, type NatsConnection, type Subscription } from 'nats';

export interface PullingParts {
  readonly nc: NatsConnection;
  readonly stream: string;
  readonly consumer: string;
  /** How many messages may be in hand at once; what is in hand is told by {@link Pulling.room}. */
  readonly most: number;
  readonly receive: (msg: Msg) => void;
  /** Called once, with the reason. */
  readonly ended: (reason: string) => void;
}

const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 2_000;
const NANOS = 1_000_000;
/** Heartbeats come every 2 s while a request is open; after so many turns without any the server has forgotten us. */
const SILENT_TURNS = 3;

const [HEARTBEAT, EXPIRED] = [100, 408];

export class Pulling {
  readonly #parts: PullingParts;
  readonly #inbox = createInbox();
  readonly #subject: string;
  readonly #subscription: Subscription;
  readonly #watch: NodeJS.Timeout;
  /** Messages the open requests may still bring. */
  #owed = 0;
  /** Messages in hand, as the owner says. */
  #inHand = 0;
  #silent = 0;
  #ended = false;

  constructor(parts: PullingParts) {
    this.#parts = parts;
    this.#subject = `$JS.API.CONSUMER.MSG.NEXT.${parts.stream}.${parts.consumer}`;
    this.#subscription = parts.nc.subscribe(this.#inbox, { callback: (error, msg) => this.#receive(error, msg) });
    this.#watch = setInterval(() => this.#listen(), HEARTBEAT_MS).unref();
  }

  /** So many are in hand now: asks for more when it is worth a request. */
  room(inHand: number): void {
    this.#inHand = inHand;
    const { most } = this.#parts;
    const room = most - inHand - this.#owed;
    // A quarter at a time: a request per message would cost as much as the message.
    if (room > 0 && (room * 4 >= most || this.#owed === 0)) this.#ask(room);
  }

  /** Withdraws the requests; what is on its way still comes. Waits for the server, but not for one that is away. */
  async stop(patienceMs: number): Promise<void> {
    this.#end();
    const away = new Promise<void>((resolve) => {
      setTimeout(resolve, patienceMs).unref();
    });
    await Promise.race([this.#subscription.drain().catch(() => undefined), away]);
  }

  /** Ends the binding. Messages that are on their way still come, requests bring no more. */
  end(reason: string): void {
    if (this.#ended) return;
    this.#end();
    if (!this.#parts.nc.isClosed()) this.#subscription.drain().catch(() => undefined);
    this.#parts.ended(reason);
  }

  #end(): void {
    this.#ended = true;
    clearInterval(this.#watch);
  }

  #ask(batch: number): void {
    const { nc } = this.#parts;
    if (this.#ended || nc.isClosed()) return;
    this.#owed += batch;
    const body = { batch, expires: EXPIRES_MS * NANOS, idle_heartbeat: HEARTBEAT_MS * NANOS };
    nc.publish(this.#subject, JSON.stringify(body), { reply: this.#inbox });
  }

  #receive(error: Error | null, msg: Msg): void {
    if (error !== null) return this.end(error.message);
    this.#silent = 0;
    // Messages have the subject they were stored under; what the server has to say comes to the inbox itself.
    if (msg.subject !== this.#inbox) {
      this.#owed--;
      this.#parts.receive(msg);
      return;
    }
    const { code = 0, description = '' } = msg.headers ?? {};
    if (code === HEARTBEAT) return;
    if (code !== EXPIRED) return this.end(`the server says ${code} ${description}`.trim());
    // A request has expired; what it did not bring may be asked for again.
    this.#owed = Math.max(0, this.#owed - Number(msg.headers?.get('Nats-Pending-Messages') ?? 0));
    if (!this.#ended) this.room(this.#inHand);
  }

  #listen(): void {
    if (this.#owed > 0 && ++this.#silent > SILENT_TURNS) this.end('heartbeats are missing');
  }
}
