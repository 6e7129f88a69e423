/**
 * Consuming a durable pull consumer for as long as a process lives.
 *
 * Job: hand messages to a handler, at most so many at once, through reconnects, missed heartbeats and a consumer that is
 * deleted and created again. Boundary: neither acknowledges nor interprets anything, except that messages fetched but not
 * begun when it stops are given back at once, and that the server is told of those that are still in hand.
 *   D1 a message is in hand from its arrival here to the end of its handler, also while it waits for its turn; one that is in
 *      hand is not delivered again while this process lives and reaches the server, however slow its handler or the server is;
 *   D2 at most twice `maxInFlight` messages are in hand, so that one process cannot have all that the server gives out without
 *      acknowledgement: what a dead one held would keep everything from the others until the ack wait is over.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../kernel/index.ts';
import type { NatsDoor } from './connection.nats.ts';
import { Delivered } from './delivered.nats.ts';
import { wireOf } from './gather.nats.ts';
import { Holding } from './holding.ts';
import { Pulling } from './pulling.nats.ts';
import { Slices } from './slices.node.ts';

export interface ConsumeOptions {
  readonly door: NatsDoor;
  readonly stream: string;
  readonly consumer: string;
  /** Handlers under way at once. */
  readonly maxInFlight: number;
  /** Must not reject; what it throws is reported and otherwise ignored (the message is redelivered after its ack wait). */
  readonly handle: (msg: Delivered) => Promise<void>;
  /** Called whenever a new binding to the consumer begins. */
  readonly onBind?: () => void;
  /** Told of what goes wrong; consumption goes on. */
  readonly report?: (message: string, error?: unknown) => void;
}

export interface DurableConsumption {
  /** Stops fetching, waits for the handlers under way. */
  stop(): Promise<void>;
  /** False while the consumer cannot be had. */
  readonly bound: boolean;
}

const AGAIN_MS = 500;
/** How long a server that is away may keep a stop waiting. */
const WITHDRAW_MS = 1_000;

/** What the server takes where a consumer's configuration does not say. */
const SERVERS_ACK_WAIT = 30_000_000_000;

const nanosToMs = (nanos = SERVERS_ACK_WAIT): number => nanos / 1_000_000;

/** Begins at once and never gives up; a consumer that does not exist yet is waited for. */
export function consumeDurable(options: ConsumeOptions): DurableConsumption {
  const consumption = new Consuming(options);
  consumption.run();
  return consumption;
}

class Consuming implements DurableConsumption {
  readonly #options: ConsumeOptions;
  readonly #stopping = new AbortController();
  readonly #inHand = new Holding<Delivered>();
  /** Fetched and not begun. */
  readonly #slices: Slices<Delivered>;
  #renewing: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #pulling: Pulling | undefined;
  #stopped = false;
  /** The connection is a new one: nothing speaks for waiting. */
  #atOnce = false;
  #inFlight = 0;
  #idle: (() => void) | undefined;
  #unbind: () => void = () => undefined;
  bound = false;

  constructor(options: ConsumeOptions) {
    this.#options = options;
    this.#slices = new Slices({
      begin: (msg) => this.#begin(msg),
      room: () => !this.#stopped && this.#inFlight < options.maxInFlight,
    });
  }

  run(): void {
    this.#running = this.#loop();
    void this.#watchConnection();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopping.abort();
    // First the requests: what is given back while one is open would come here again.
    await this.#pulling?.stop(WITHDRAW_MS);
    this.#giveBackWaiting();
    this.#unbind();
    await this.#running;
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    clearInterval(this.#renewing);
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stopping;
    while (!this.#stopped) {
      try {
        await this.#bind();
      } catch (error) {
        this.#report('its consumer cannot be had', error);
      }
      this.bound = false;
      if (!this.#stopped && !this.#atOnce) await delay(AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One binding: ends when it is stopped or when it is no longer certain what the server still owes. */
  async #bind(): Promise<void> {
    const { door, stream, consumer, maxInFlight, onBind } = this.#options;
    this.#atOnce = false;
    const { config } = await door.jsm.consumers.info(stream, consumer);
    if (this.#stopped) return;
    this.#renew(nanosToMs(config.ack_wait));
    onBind?.();
    this.bound = true;
    await new Promise<void>((resolve) => {
      this.#unbind = resolve;
      const ended = (reason: string): void => {
        this.#report(reason);
        resolve();
      };
      const wire = wireOf(door.nc);
      const pulling = new Pulling({
        nc: door.nc,
        stream,
        consumer,
        most: 2 * maxInFlight,
        receive: (msg) => {
          const delivered = Delivered.from(msg, wire);
          if (delivered !== undefined) this.#receive(delivered);
        },
        ended,
      });
      this.#pulling = pulling;
      pulling.room(this.#held);
    });
  }

  /** Requests do not outlive the connection they were made on. */
  async #watchConnection(): Promise<void> {
    for await (const { type } of this.#options.door.nc.status()) {
      if (this.#stopped) return;
      if (type !== 'reconnect') continue;
      this.#atOnce = true;
      this.#pulling?.end('the connection is a new one');
    }
  }

  get #held(): number {
    return this.#slices.waiting + this.#inFlight;
  }

  #receive(msg: Delivered): void {
    if (this.#stopped) return msg.nak();
    this.#inHand.take(msg);
    this.#slices.push(msg);
  }

  /** D1: what is in hand for long says so at a third of the ack wait. */
  #renew(ackWaitMs: number): void {
    clearInterval(this.#renewing);
    this.#renewing = setInterval(() => {
      for (const msg of this.#inHand.tick()) msg.working();
    }, ackWaitMs / 3);
    this.#renewing.unref();
  }

  #begin(msg: Delivered): void {
    this.#inFlight++;
    this.#options.handle(msg).then(
      () => this.#ended(msg),
      (error: unknown) => {
        this.#report('a handler failed', error);
        this.#ended(msg);
      },
    );
  }

  #ended(msg: Delivered): void {
    this.#inHand.release(msg);
    this.#inFlight--;
    if (this.#stopped) {
      if (this.#inFlight === 0) this.#idle?.();
      return;
    }
    this.#slices.go();
    // D2
    this.#pulling?.room(this.#held);
  }

  #giveBackWaiting(): void {
    for (const msg of this.#slices.clear()) {
      this.#inHand.release(msg);
      msg.nak();
    }
  }

  #report(message: string, error?: unknown): void {
    const { stream, consumer, report } = this.#options;
    if (this.#stopped) return;
    report?.(`${stream}/${consumer}: ${message}${error === undefined ? '' : `: ${messageOf(error)}`}`, error);
  }
}
