/**
 * What an attempt tells of its life and progress: the first heartbeat at once, then at most one per half of the time that it
 * may be silent, always with the latest details. Nothing is sent unless the handler says so: silence must mean something.
 */
import { type Json, messageOf } from '../kernel/index.ts';
import type { Timers } from './types.ts';

/** Between two heartbeats of an attempt whose silence nobody minds, in ms. */
const EVERY_MS = 10_000;

export interface BeatsOptions {
  /** Longest silence, if there is one, in ms. */
  readonly heartbeatMs: number | undefined;
  readonly timers: Timers;
  /** Sends the n-th heartbeat (from 1). */
  readonly send: (details: Json | undefined, n: number) => Promise<void>;
  /** The details as JSON. @throws MillraceError when they are none */
  readonly encode: (details: unknown) => Json;
  /** Told of a heartbeat that could not be sent. */
  readonly lost: (reason: string) => void;
}

export class Beats {
  readonly #options: BeatsOptions;
  readonly #everyMs: number;
  #details: unknown;
  #waits = false;
  #sending = false;
  #sentAt = Number.NEGATIVE_INFINITY;
  #count = 0;
  #stopTimer: (() => void) | undefined;
  #ended = false;

  constructor(options: BeatsOptions) {
    this.#options = options;
    this.#everyMs = options.heartbeatMs === undefined ? EVERY_MS : options.heartbeatMs / 2;
  }

  /**
   * The attempt lives. Without details the ones before stay.
   * @throws MillraceError when it is sent at once and its details are not JSON
   */
  beat(details?: unknown): void {
    if (this.#ended) return;
    if (details !== undefined) this.#details = details;
    this.#waits = true;
    this.#next();
  }

  /** The attempt is over: its result says the rest. */
  end(): void {
    this.#ended = true;
    this.#stopTimer?.();
  }

  #next(): void {
    if (!this.#waits || this.#sending || this.#ended || this.#stopTimer !== undefined) return;
    const { timers } = this.#options;
    const wait = this.#sentAt + this.#everyMs - timers.now();
    if (wait <= 0) return this.#send();
    this.#stopTimer = timers.after(wait, () => {
      this.#stopTimer = undefined;
      try {
        this.#send();
      } catch (error) {
        this.#options.lost(messageOf(error)); // the handler is somewhere else by now
      }
    });
  }

  #send(): void {
    const { send, encode, timers, lost } = this.#options;
    this.#waits = false;
    const details = this.#details === undefined ? undefined : encode(this.#details);
    this.#sending = true;
    this.#sentAt = timers.now();
    const done = (): void => {
      this.#sending = false;
      this.#next();
    };
    send(details, ++this.#count).then(done, (error: unknown) => {
      lost(messageOf(error));
      done();
    });
  }
}
