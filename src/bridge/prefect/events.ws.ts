/**
 * Prefect's event socket, `/api/events/out`: a hint that something changed, seconds before the sweep would find it.
 *
 * Job: one connection kept up with backoff; observations of our flow runs out. Boundary: it decides nothing.
 *   E1 after a break the backfill starts where the last observation was (Prefect gives 15 minutes at most; the sweep has
 *      the rest);
 *   E2 an event that was seen is not handed on a second time;
 *   E3 no failure here leaves the file: it is counted, and the socket is opened again.
 */
import { type ClientOptions, type RawData, WebSocket } from 'ws';
import { type BackoffPolicy, backoffMs, type Clock, messageOf } from '../../kernel/index.ts';
import type { Telemetry } from '../../telemetry/index.ts';
import { eventMessageSchema } from './payloads.ts';
import { type Observation, observationOf } from './translate.ts';

export interface EventSocketOptions {
  /** Prefect's API, `http://host:4200/api`. */
  readonly url: string;
  readonly apiKey?: string | undefined;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly onObservation: (observation: Observation) => void;
  readonly backoff?: BackoffPolicy;
}

export interface EventSocket {
  /** True after the handshake, while the connection stands. */
  connected(): boolean;
  stop(): Promise<void>;
}

const BACKOFF: BackoffPolicy = { initialMs: 250, factor: 2, maxMs: 15_000, jitter: 0.3 };
/** A connection that says nothing for so long is asked whether it is there. */
const PING_MS = 10_000;
const HANDSHAKE_MS = 10_000;
const SEEN_LIMIT = 5_000;
/** Prefect's clock and ours may differ, and events are stored a little later than they happen. */
const OVERLAP_MS = 30_000;
const FAR_FUTURE_MS = 365 * 86_400_000;

/** Opens the socket and keeps it open. Does not wait for the first connection. */
export function openEventSocket(options: EventSocketOptions): EventSocket {
  const socket = new PrefectEvents(options);
  socket.start();
  return socket;
}

class PrefectEvents implements EventSocket {
  readonly #options: EventSocketOptions;
  readonly #stopped = new AbortController();
  readonly #seen = new Set<string>();
  #running: Promise<void> = Promise.resolve();
  #ready = false;
  #since: number;

  constructor(options: EventSocketOptions) {
    this.#options = options;
    this.#since = options.clock.now();
  }

  start(): void {
    this.#running = this.#loop();
  }

  connected(): boolean {
    return this.#ready;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  async #loop(): Promise<void> {
    const { clock, telemetry, backoff = BACKOFF, url } = this.#options;
    const { signal } = this.#stopped;
    for (let failures = 0; !signal.aborted; ) {
      const connectedFor = await this.#connection();
      failures = connectedFor > 60_000 ? 1 : failures + 1;
      if (signal.aborted) return;
      telemetry.metrics.count('millrace_prefect_socket_reconnects_total');
      await clock.sleep(backoffMs(backoff, failures, url), signal).catch(() => undefined);
    }
  }

  /** One connection from opening to its end; gives how long it stood, in ms. */
  #connection(): Promise<number> {
    const { url, clock, telemetry } = this.#options;
    const address = `${url.replace(/^http/, 'ws').replace(/\/+$/, '')}/events/out`;
    const options: ClientOptions = { handshakeTimeout: HANDSHAKE_MS };
    const opened = clock.now();
    return new Promise((resolve) => {
      const ws = new WebSocket(address, ['prefect'], options);
      const stop = (): void => ws.terminate();
      const alive = this.#watchdog(ws);
      this.#stopped.signal.addEventListener('abort', stop, { once: true });
      ws.on('open', () => ws.send(JSON.stringify({ type: 'auth', token: this.#options.apiKey ?? null })));
      ws.on('message', (data) => this.#receive(ws, data));
      ws.on('error', (error) => telemetry.log.debug({ url: address, error: messageOf(error) }, 'event socket failed'));
      ws.on('close', (code, reason) => {
        alive.end();
        this.#stopped.signal.removeEventListener('abort', stop);
        if (this.#ready) telemetry.log.info({ code, reason: reason.toString() }, 'Prefect event socket closed');
        this.#ready = false;
        telemetry.metrics.gauge('millrace_prefect_socket_connected', 0);
        resolve(clock.now() - opened);
      });
    });
  }

  #watchdog(ws: WebSocket): { end(): void } {
    let answered = true;
    ws.on('pong', () => (answered = true));
    const timer = setInterval(() => {
      if (!answered) return ws.terminate();
      answered = false;
      if (ws.readyState === WebSocket.OPEN) ws.ping();
    }, PING_MS);
    timer.unref();
    return { end: () => clearInterval(timer) };
  }

  #receive(ws: WebSocket, data: RawData): void {
    const { telemetry, onObservation } = this.#options;
    try {
      const message: unknown = JSON.parse(data.toString());
      if (isAuthSuccess(message)) return this.#subscribe(ws);
      const parsed = eventMessageSchema.safeParse(message);
      const observation = parsed.success ? observationOf(parsed.data.event) : undefined;
      if (observation === undefined || !this.#remember(observation)) return;
      telemetry.metrics.count('millrace_prefect_events_total', { type: observation.state.type });
      onObservation(observation);
    } catch (error) {
      telemetry.metrics.count('millrace_prefect_events_total', { type: 'unreadable' });
      telemetry.log.warn({ error: messageOf(error) }, 'an event of Prefect could not be read');
    }
  }

  #subscribe(ws: WebSocket): void {
    const { telemetry, clock } = this.#options;
    const occurred = {
      since: new Date(this.#since - OVERLAP_MS).toISOString(),
      until: new Date(clock.now() + FAR_FUTURE_MS).toISOString(), // Prefect's default is now: it would send nothing new
    };
    const filter = {
      occurred,
      event: { prefix: ['prefect.flow-run.'] },
      related: { id: ['prefect.tag.millrace'], role: ['tag'] },
    };
    ws.send(JSON.stringify({ type: 'filter', filter, backfill: true }));
    this.#ready = true;
    telemetry.metrics.gauge('millrace_prefect_socket_connected', 1);
    telemetry.log.info({ url: ws.url }, 'Prefect event socket open');
  }

  /** False when it was seen before. */
  #remember(observation: Observation): boolean {
    if (this.#seen.has(observation.eventId)) return false;
    this.#seen.add(observation.eventId);
    if (this.#seen.size > SEEN_LIMIT) {
      const [oldest] = this.#seen;
      if (oldest !== undefined) this.#seen.delete(oldest);
    }
    this.#since = Math.max(this.#since, observation.occurredAt);
    return true;
  }
}

function isAuthSuccess(message: unknown): boolean {
  return typeof message === 'object' && message !== null && 'type' in message && message.type === 'auth_success';
}
