/**
 * Pulls task messages with exact credit: the server hands out only what this process can begin at once, so that no
 * message waits in a buffer here while another worker is idle.
 *
 * The client library's own consume() asks for more than it runs; next() makes a subscription per message. Here one
 * subscription lives as long as the pull, and what the open requests may still bring is counted. A wrong count heals: the
 * server says how much of a request is left when it expires, and after a reconnect, an error or missed heartbeats the
 * count begins anew. Counting too little means a message too many, which the runner keeps alive until its turn. What comes in a
 * burst is begun in slices.
 */
import type { Msg, MsgHdrs, NatsConnection, Subscription } from 'nats';
import { createInbox } from 'nats';
import { parseAckSubject, Slices } from '../drivers/index.ts';
import { messageOf } from '../kernel/index.ts';
import type { Logger } from '../telemetry/index.ts';
import type { TaskDelivery, Timers } from './types.ts';

const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 5_000;
const AGAIN_MS = 500;
const WITHDRAW_MS = 1_000;
const NANOS = 1_000_000;

export interface PullOptions {
  readonly nc: NatsConnection;
  readonly stream: string;
  readonly consumer: string;
  readonly timers: Timers;
  readonly log: Logger;
  /** How many messages may be begun now. */
  readonly free: () => number;
  readonly deliver: (delivery: TaskDelivery) => void;
  /** Makes sure that the consumer exists; called again when the server says that it is gone. */
  readonly ensure: () => Promise<void>;
}

export class Pull {
  readonly #options: PullOptions;
  readonly #inbox = createInbox();
  readonly #slices: Slices<TaskDelivery>;
  #subscription: Subscription | undefined;
  /** Messages the open requests may still bring. */
  #outstanding = 0;
  #lastHeard = 0;
  #lastAsked = 0;
  #stopWatch: () => void = () => undefined;
  #stopped = false;
  #asking = false;
  #repairing = false;

  constructor(options: PullOptions) {
    this.#options = options;
    this.#slices = new Slices({ begin: options.deliver, room: () => !this.#stopped });
  }

  start(): void {
    const { nc, timers } = this.#options;
    this.#subscription = nc.subscribe(this.#inbox, { callback: (_error, msg) => this.#receive(msg) });
    this.#lastHeard = timers.now();
    this.#stopWatch = timers.every(HEARTBEAT_MS, () => this.#watch());
    this.ask();
    void this.#followStatus();
  }

  /** Asks for what is free and not asked for yet. Several calls in one tick make one request. */
  ask(): void {
    if (this.#asking) return;
    this.#asking = true;
    queueMicrotask(() => {
      this.#asking = false;
      if (!this.#stopped && !this.#repairing) this.#request();
    });
  }

  /**
   * Stops asking and withdraws what was asked for: as long as the server knows a request of ours, it would hand us
   * again what we give back. What is on its way already is given back. Waits for the server, but not for one that is away.
   */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stopWatch();
    const away = new Promise<void>((resolve) => {
      this.#options.timers.after(WITHDRAW_MS, resolve);
    });
    await Promise.race([this.#subscription?.drain().catch(() => undefined), away]);
    for (const delivery of this.#slices.clear()) delivery.nak();
  }

  /** While half of what could be begun is still asked for, the rest waits for the next request: one per task is dear. */
  #request(): void {
    const { nc, stream, consumer, free, timers } = this.#options;
    const room = free() - this.#slices.waiting;
    const batch = room - this.#outstanding;
    if (batch <= 0 || batch < this.#outstanding || nc.isClosed()) return;
    this.#outstanding += batch;
    this.#lastAsked = timers.now();
    const body = { batch, expires: EXPIRES_MS * NANOS, idle_heartbeat: HEARTBEAT_MS * NANOS };
    nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(body), { reply: this.#inbox });
  }

  #receive(msg: Msg): void {
    this.#lastHeard = this.#options.timers.now();
    const status = statusOf(msg);
    if (status !== undefined) return this.#onStatus(status, msg.headers);
    this.#outstanding = Math.max(0, this.#outstanding - 1);
    const delivery = toDelivery(msg);
    if (delivery === undefined) return;
    if (this.#stopped) return delivery.nak();
    this.#slices.push(delivery);
    this.ask();
  }

  #onStatus(status: number, headers: MsgHdrs | undefined): void {
    if (status === 100 || this.#stopped) return; // heartbeat
    if (status === 408) {
      // A request has expired; what it did not bring is free to be asked for again.
      this.#outstanding = Math.max(0, this.#outstanding - Number(headers?.get('Nats-Pending-Messages') ?? 0));
      return this.ask();
    }
    this.#outstanding = 0;
    if (status === 503) return this.#repair('nobody answers for it'); // deleted, or its server is away
    this.#options.timers.after(AGAIN_MS, () => this.ask());
  }

  #repair(reason: string): void {
    if (this.#repairing || this.#stopped) return;
    this.#repairing = true;
    const { ensure, log, timers, consumer } = this.#options;
    log.warn({ consumer, reason }, 'the consumer does not answer; looking after it');
    ensure().then(
      () => {
        this.#repairing = false;
        this.ask();
      },
      (error: unknown) => {
        log.warn({ consumer, error: messageOf(error) }, 'the consumer cannot be had yet');
        timers.after(AGAIN_MS * 4, () => {
          this.#repairing = false;
          this.#repair(reason);
        });
      },
    );
  }

  /** Missed heartbeats or a request long past its expiry: the server has forgotten it, or the connection was down. */
  #watch(): void {
    const now = this.#options.timers.now();
    const silent = now - this.#lastHeard > HEARTBEAT_MS * 3;
    const stale = now - this.#lastAsked > EXPIRES_MS + HEARTBEAT_MS;
    if (this.#outstanding === 0 || !(silent || stale)) return;
    this.#lastHeard = now;
    this.#outstanding = 0;
    this.ask();
  }

  async #followStatus(): Promise<void> {
    for await (const status of this.#options.nc.status()) {
      if (this.#stopped) return;
      if (status.type !== 'reconnect') continue;
      this.#outstanding = 0; // requests do not survive the connection they were made on
      this.ask();
    }
  }
}

/** The status of a message that is none: heartbeats, expiries, errors. */
function statusOf(msg: Msg): number | undefined {
  const code = msg.headers?.code ?? 0;
  return code >= 100 && msg.data.length === 0 ? code : undefined;
}

function headersOf(headers: MsgHdrs | undefined): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [name, values] of headers ?? []) plain[name] = values[0] ?? '';
  return plain;
}

function toDelivery(msg: Msg): TaskDelivery | undefined {
  const numbers = parseAckSubject(msg.reply ?? '');
  if (numbers === undefined) return undefined;
  const { seq, deliveries } = numbers;
  let settled = false;
  const settle = (text: string): void => {
    if (settled) return;
    settled = true;
    msg.respond(text);
  };
  return {
    seq,
    deliveries,
    data: msg.data,
    headers: headersOf(msg.headers),
    subject: msg.subject,
    ack: () => settle('+ACK'),
    nak: (delayMs) => settle(delayMs === undefined ? '-NAK' : `-NAK ${JSON.stringify({ delay: delayMs * NANOS })}`),
    term: (reason) => settle(`+TERM ${reason}`),
    working: () => {
      if (!settled) msg.respond('+WPI');
    },
  };
}
