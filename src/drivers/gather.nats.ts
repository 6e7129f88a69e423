/**
 * What a connection writes, gathered per turn of the event loop.
 *
 * The client library flushes at the end of the microtask in which the first message was buffered. Where work goes on over
 * several awaits in one turn that is a write, a system call and a packet for every few messages; here it is one for the turn:
 * what was buffered leaves right after the turn's callbacks, before the loop waits for anything. Measured on a loaded
 * machine: a quarter of a controller's processor time.
 *
 * Our own messages ({@link wireOf}) are written as bytes of the protocol straight into the piece of memory that leaves next,
 * instead of being made of four arrays each that are copied together (docs/adr, "one piece of memory").
 *   W1 they keep their order among what the library writes on the same connection;
 *   W2 memory that was handed over is never written again;
 *   W3 what the library drops when a connection breaks is dropped here as well.
 */
import { type MsgHdrs, type NatsConnection, headers as newHeaders } from 'nats';
import { headerBlock } from './headers.ts';
import type { Payload } from './publishing.ts';

/** Where messages of ours go out. */
export interface Wire {
  /**
   * Publishes with a header block of the given lines.
   * @param reply where the answer goes; none is asked for when it is empty
   * @throws what the client library throws for a closed connection, a subject that is none, or too large a message
   */
  publish(subject: string, reply: string, lines: string, data: Payload): void;
  /** Publishes without headers. Throws the same. */
  respond(subject: string, data: string): void;
}

/** The library's protocol handler, as far as it is what we know; it is not part of its interface. */
interface Protocol {
  flushPending(): void;
  readonly outbound: Outbound;
  readonly noMorePublishing: boolean;
  readonly info: { readonly max_payload: number; readonly headers?: boolean } | undefined;
  outBytes: number;
  outMsgs: number;
}

/** What it has buffered. */
interface Outbound {
  fill(first: Uint8Array, ...more: Uint8Array[]): void;
  reset(): void;
  size(): number;
}

/** So much leaves at once: the server begins on it while the turn goes on. */
const ENOUGH_BYTES = 32_768;
const PIECE_BYTES = 65_536;
/** A message above this is not copied once more. */
const LARGE_BYTES = 8_192;
/** `NATS/1.0`, its line break, and the empty line. */
const BLOCK_BYTES = 12;
const BLANK = /\s/;

const wires = new WeakMap<NatsConnection, Wire>();

function protocolOf(nc: NatsConnection): Protocol | undefined {
  const { protocol } = nc as unknown as { readonly protocol?: Partial<Protocol> };
  const outbound = protocol?.outbound;
  const known =
    typeof protocol?.flushPending === 'function' &&
    typeof protocol.noMorePublishing === 'boolean' &&
    typeof outbound?.fill === 'function' &&
    typeof outbound.reset === 'function' &&
    typeof outbound.size === 'function';
  return known ? (protocol as Protocol) : undefined;
}

/** False when the library is not the one we know: then it flushes as it does. For a connection that has just been made. */
export function gatherWrites(nc: NatsConnection): boolean {
  const protocol = protocolOf(nc);
  if (protocol === undefined) return false;
  wires.set(nc, new Gathering(nc, protocol));
  return true;
}

/** The wire of a connection; on one that does not gather, the library's own publish. */
export function wireOf(nc: NatsConnection): Wire {
  let wire = wires.get(nc);
  if (wire === undefined) {
    wire = new Plain(nc);
    wires.set(nc, wire);
  }
  return wire;
}

class Gathering implements Wire {
  readonly #nc: NatsConnection;
  readonly #protocol: Protocol;
  readonly #plain: Plain;
  readonly #fill: Outbound['fill'];
  readonly #flush: () => void;
  readonly #turnOver: () => void;
  #piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  /** What of the piece has been written and not handed over. */
  #from = 0;
  #to = 0;
  #due = false;

  constructor(nc: NatsConnection, protocol: Protocol) {
    const { outbound } = protocol;
    this.#nc = nc;
    this.#protocol = protocol;
    this.#plain = new Plain(nc);
    this.#flush = protocol.flushPending.bind(protocol);
    this.#fill = outbound.fill.bind(outbound);
    this.#turnOver = () => {
      this.#due = false;
      this.#leave();
    };
    const reset = outbound.reset.bind(outbound);
    outbound.fill = (first, ...more) => {
      this.#handOver(); // W1
      this.#fill(first, ...more);
    };
    outbound.reset = () => {
      this.#from = this.#to; // W3
      reset();
    };
    protocol.flushPending = () => this.#written();
  }

  publish(subject: string, reply: string, lines: string, data: Payload): void {
    const bytes = typeof data === 'string' ? Buffer.byteLength(data) : data.length;
    const headers = BLOCK_BYTES + Buffer.byteLength(lines);
    if (!this.#takes(subject, headers + bytes)) return this.#plain.publish(subject, reply, lines, data);
    const to = reply === '' ? '' : `${reply} `;
    const head = `HPUB ${subject} ${to}${headers} ${headers + bytes}\r\nNATS/1.0\r\n${lines}\r\n`;
    this.#write(head, data, bytes, headers);
  }

  respond(subject: string, data: string): void {
    const bytes = Buffer.byteLength(data);
    if (!this.#takes(subject, bytes)) return this.#plain.respond(subject, data);
    this.#write(`PUB ${subject} ${bytes}\r\n`, data, bytes);
  }

  /** Everything else is the library's: it knows what to throw. */
  #takes(subject: string, bytes: number): boolean {
    const { info, noMorePublishing } = this.#protocol;
    if (noMorePublishing || info === undefined || info.headers !== true || bytes > info.max_payload) return false;
    return bytes <= LARGE_BYTES && subject !== '' && !BLANK.test(subject) && !this.#nc.isClosed();
  }

  /** @param headers their bytes, which the connection's statistics count */
  #write(head: string, data: Payload, bytes: number, headers = 0): void {
    // In UTF-8 no unit of a string takes more than three bytes.
    if (this.#to + 3 * head.length + bytes + 2 > PIECE_BYTES) this.#renew(3 * head.length + bytes + 2);
    const piece = this.#piece;
    let at = this.#to;
    at += piece.write(head, at, 'utf8');
    if (typeof data !== 'string') piece.set(data, at);
    else piece.write(data, at, bytes === data.length ? 'latin1' : 'utf8');
    at += bytes;
    piece[at] = 0x0d;
    piece[at + 1] = 0x0a;
    this.#to = at + 2;
    this.#protocol.outBytes += headers + bytes;
    this.#protocol.outMsgs++;
    this.#written();
  }

  #renew(least: number): void {
    this.#handOver();
    this.#piece = Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, least)); // W2
    this.#from = 0;
    this.#to = 0;
  }

  #handOver(): void {
    if (this.#from === this.#to) return;
    this.#fill(this.#piece.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }

  #written(): void {
    if (this.#to - this.#from + this.#protocol.outbound.size() >= ENOUGH_BYTES) return this.#leave();
    if (this.#due) return;
    this.#due = true;
    setImmediate(this.#turnOver);
  }

  #leave(): void {
    this.#handOver();
    this.#flush();
  }
}

/** Through the library's publish, for connections it has not made known to us. */
class Plain implements Wire {
  readonly #nc: NatsConnection;

  constructor(nc: NatsConnection) {
    this.#nc = nc;
  }

  publish(subject: string, reply: string, lines: string, data: Payload): void {
    const headers = encodedHeaders(headerBlock(lines));
    this.#nc.publish(subject, data, reply === '' ? { headers } : { headers, reply });
  }

  respond(subject: string, data: string): void {
    this.#nc.publish(subject, data);
  }
}

/**
 * Headers for the client library that are bytes already: of those it is given, its `publish` calls nothing but `encode`.
 * test/integration/publisher.test.ts tells when that changes.
 */
function encodedHeaders(block: Uint8Array): MsgHdrs {
  return Object.assign(newHeaders(), { encode: (): Uint8Array => block });
}
