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
import type { Consumer, ConsumerMessages, JetStreamClient, JsMsg } from '@nats-io/jetstream';
import { messageOf } from '../kernel/index.ts';
import { Holding } from './holding.ts';

export interface ConsumeOptions {
  readonly js: JetStreamClient;
  readonly stream: string;
  readonly consumer: string;
  /** Handlers under way at once. */
  readonly maxInFlight: number;
  /** Must not reject; what it throws is reported and otherwise ignored (the message is redelivered after its ack wait). */
  readonly handle: (msg: JsMsg) => Promise<void>;
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
const EXPIRES_MS = 10_000;
const HEARTBEAT_MS = 2_000;

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
  readonly #inHand = new Holding<JsMsg>();
  /** Fetched and not begun. */
  #waiting: JsMsg[] = [];
  #renewing: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #messages: ConsumerMessages | undefined;
  #inFlight = 0;
  #wake: (() => void) | undefined;
  bound = false;

  constructor(options: ConsumeOptions) {
    this.#options = options;
  }

  run(): void {
    this.#running = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#messages?.stop();
    this.#wake?.();
    await this.#running;
    while (this.#inFlight > 0) await this.#untilWoken();
    clearInterval(this.#renewing);
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.#bind();
      } catch (error) {
        this.#report('its consumer cannot be had', error);
      }
      this.bound = false;
      if (!signal.aborted) await delay(AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One binding: ends when it is stopped or when the server says that the consumer is gone. */
  async #bind(): Promise<void> {
    const { js, stream, consumer, onBind } = this.#options;
    const bound = await js.consumers.get(stream, consumer);
    if (this.#stopping.signal.aborted) return;
    this.#renew(nanosToMs((await bound.info(true)).config.ack_wait));
    onBind?.();
    this.bound = true;
    try {
      while (!this.#stopping.signal.aborted) {
        await this.#fetch(bound);
        while (this.#waiting.length > 0 && !this.#stopping.signal.aborted) await this.#untilWoken();
      }
    } finally {
      for (const msg of this.#waiting.splice(0)) this.#giveBack(msg);
    }
  }

  /**
   * D2: asks for as many as may run at once, and again when all of those have been begun. The library's own consume() would go on
   * asking as long as its messages are looked at, and D1 wants them looked at when they arrive.
   */
  async #fetch(bound: Consumer): Promise<void> {
    const messages = await bound.fetch({
      max_messages: this.#options.maxInFlight,
      expires: EXPIRES_MS,
      idle_heartbeat: HEARTBEAT_MS,
    });
    this.#messages = messages;
    if (this.#stopping.signal.aborted) messages.stop();
    for await (const msg of messages) {
      this.#inHand.take(msg);
      this.#waiting.push(msg);
      this.#beginWaiting();
    }
  }

  /** D1: what is in hand for long says so at a third of the ack wait. */
  #renew(ackWaitMs: number): void {
    clearInterval(this.#renewing);
    this.#renewing = setInterval(() => {
      for (const msg of this.#inHand.tick()) msg.working();
    }, ackWaitMs / 3);
    this.#renewing.unref();
  }

  #beginWaiting(): void {
    while (this.#inFlight < this.#options.maxInFlight && !this.#stopping.signal.aborted) {
      const msg = this.#waiting.shift();
      if (msg === undefined) return;
      this.#begin(msg);
    }
  }

  #begin(msg: JsMsg): void {
    this.#inFlight++;
    this.#options
      .handle(msg)
      .catch((error: unknown) => this.#report('a handler failed', error))
      .finally(() => {
        this.#inHand.release(msg);
        this.#inFlight--;
        this.#beginWaiting();
        this.#wake?.();
      });
  }

  #giveBack(msg: JsMsg): void {
    this.#inHand.release(msg);
    msg.nak();
  }

  #untilWoken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #report(message: string, error?: unknown): void {
    const { stream, consumer, report } = this.#options;
    if (this.#stopping.signal.aborted) return;
    report?.(`${stream}/${consumer}: ${message}${error === undefined ? '' : `: ${messageOf(error)}`}`, error);
  }
}
