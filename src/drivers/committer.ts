/**
 * Group commit: messages that wait for one stream go into one atomic batch, and so share one fsync.
 *
 * Job: give every caller exactly the outcome that a publish of its own would have given, sooner. Boundary: knows a publisher
 * and the rules of atomic batches (ADR-50 of NATS), nothing of what is sent. One per stream.
 *   G1 a batch that is refused stored nothing: it is taken apart, down to single publishes, so that each member gets its own
 *      answer;
 *   G2 a batch whose acknowledgement is lost is unknown for each member;
 *   G3 two messages fenced on one subject, or of one message id, are never under way in batches at once: the second goes alone,
 *      after the first has ended;
 *   G4 with few waiting every message goes alone, at once: a small batch costs more than its messages;
 *   G5 the members' sequences follow from the commit's: a batch is stored without a gap, its last message last.
 */
import { type GroupCommit, HEADERS } from '../kernel/index.ts';
import { GroupTuner } from './group-tuner.ts';
import { type Headers, headerLines } from './headers.ts';
import type { Payload, Publisher, PublishOutcome, Settle } from './publishing.ts';

export interface LaneParts {
  readonly publisher: Pick<Publisher, 'send' | 'post'>;
  readonly mode: GroupCommit;
  /** Fewest messages worth a batch. */
  readonly atLeast: number;
  /** At most 64 characters, never the same twice, not even from another process. */
  readonly batchId: () => string;
  /** Ms of a clock that never goes back. */
  readonly now: () => number;
  /** Calls back after what is ready to run now has run. */
  readonly soon: (callback: () => void) => void;
}

type Stored = Extract<PublishOutcome, { kind: 'stored' }>;

interface Member {
  readonly subject: string;
  readonly data: Payload;
  /** Header lines. */
  readonly lines: string;
  /** What no two members under way may share (G3). */
  readonly key: string | undefined;
  readonly resolve: Settle;
  readonly reject: (error: unknown) => void;
}

/** The server's limit unless configured lower. Whatever its size, a batch costs the server three fsyncs and a directory. */
const MOST = 1_000;
const MOST_BYTES = 1_048_576;
/** A message above this gains nothing: its bytes cost more than its fsync, and a batch writes them twice. */
const LARGE_BYTES = 32_768;
const BATCHES_AT_ONCE = 2;
/** Fewest messages worth a batch beside one that is under way: fewer would cost as much, and keep those behind them waiting. */
const BESIDE = 256;
/** About 10 ms of what follows from them; with 200 the rate of functions was a tenth less, as batches became small. */
const TOLD_AT_ONCE = 500;
/** While it is looked whether batches are needed still, so many go alone at a time; the others wait for the answer. */
const PROBE = 64;
/** From here on it is worth looking whether batches help. */
const MANY = 32;
const STRETCH = 64;

/** One member of the batch made all of it impossible, and the others are innocent. */
const ONE_IS_WRONG = new Set([10071, 10164, 10201]);
const TOO_LARGE = 10199;

export class CommitLane {
  readonly #parts: LaneParts;
  readonly #tuner = new GroupTuner();
  #queue: Member[] = [];
  readonly #taken = new Set<string>();
  readonly #held = new Map<string, Member[]>();
  #alone = 0;
  #batches = 0;
  #most = MOST;
  #scheduled = false;
  /** The last thing sent was a batch: what comes now is likely to be followed by more at once. */
  #busy = false;
  #published = 0;
  #lastBatchEnded = 0;
  /** A stretch of single publishes that is being timed. */
  #stretch: { readonly began: number; stored: number } | undefined;

  constructor(parts: LaneParts) {
    this.#parts = parts;
  }

  publish(subject: string, data: Payload, headers: Headers): Promise<PublishOutcome> {
    return new Promise((resolve, reject) => this.send(subject, data, headers, resolve, reject));
  }

  /** The same without a promise. @throws or rejects what cannot be sent at all */
  send(subject: string, data: Payload, headers: Headers, resolve: Settle, reject: (error: unknown) => void): void {
    const lines = headerLines(headers);
    // The usual case first, without an object per message: nothing is in batches, and nothing is to be.
    if (this.#taken.size === 0 && !this.#lines) return this.#sendAlone(subject, data, lines, resolve);
    const fenced = headers[HEADERS.expectedLastSubjectSequence] !== undefined;
    const key = fenced ? subject : headers[HEADERS.msgId];
    const member = { subject, data, lines, key, resolve, reject };
    if (key !== undefined && this.#taken.has(key)) this.#hold(key, member);
    else if (!this.#lines || data.length > LARGE_BYTES) this.#sendAlone(subject, data, lines, resolve);
    else this.#enqueue(member);
  }

  /** The server may be another one after a reconnect. */
  reset(): void {
    this.#tuner.reset();
    this.#stretch = undefined;
    this.#most = MOST;
  }

  get #groups(): boolean {
    const { mode } = this.#parts;
    return mode === 'auto' ? this.#tuner.way === 'group' : mode === 'always';
  }

  /** Messages stand in line: for a batch, or for the end of a look at how the server does without. */
  get #lines(): boolean {
    return this.#groups || (this.#parts.mode === 'auto' && this.#tuner.isProbe);
  }

  #hold(key: string, member: Member): void {
    const held = this.#held.get(key);
    if (held === undefined) this.#held.set(key, [member]);
    else held.push(member);
  }

  #enqueue(member: Member): void {
    if (member.key !== undefined) this.#taken.add(member.key);
    this.#queue.push(member);
    if (!this.#busy && this.#alone === 0 && this.#batches === 0 && this.#queue.length === 1) this.#flushAlone();
    else this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const pump = (): void => {
      this.#scheduled = false;
      this.#pump();
    };
    // Who has just been answered comes back with the next message a few promises later.
    if (this.#busy) this.#parts.soon(pump);
    else queueMicrotask(pump);
  }

  #pump(): void {
    const { atLeast } = this.#parts;
    if (!this.#groups) return this.#flushAlone(this.#lines ? PROBE - this.#alone : this.#queue.length);
    while (this.#queue.length >= this.#enough && this.#batches < BATCHES_AT_ONCE) this.#sendBatch(this.#take());
    if (this.#queue.length === 0 || this.#batches > 0) return;
    // What does not go now goes when one of those under way has ended.
    if (this.#alone + this.#queue.length < atLeast || this.#alone === 0) this.#flushAlone();
  }

  /** How many must wait for a batch to go now. */
  get #enough(): number {
    const { atLeast } = this.#parts;
    return this.#batches === 0 ? atLeast : Math.min(this.#most, Math.max(atLeast, BESIDE));
  }

  #flushAlone(most = this.#queue.length): void {
    this.#busy = false;
    for (const member of this.#queue.splice(0, Math.max(0, most))) this.#memberAlone(member);
  }

  #take(): Member[] {
    let bytes = 0;
    let count = 0;
    for (const { data } of this.#queue) {
      bytes += data.length;
      if (count === this.#most || (count > 0 && bytes > MOST_BYTES)) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  #sendBatch(members: readonly Member[]): void {
    const { publisher, batchId, now } = this.#parts;
    const id = batchId();
    const began = now();
    // Behind single publishes it would be timed as slow as they are.
    const timed = this.#alone < this.#parts.atLeast;
    this.#busy = true;
    this.#batches++;
    this.#stretch = undefined;
    if (this.#parts.mode === 'auto') this.#tuner.look(began);
    const last = members.length - 1;
    try {
      for (const [i, { subject, data, lines }] of members.entries()) {
        const batch = `Nats-Batch-Id: ${id}\r\nNats-Batch-Sequence: ${i + 1}\r\n`;
        if (i < last) publisher.post(subject, data, batch + lines);
        else
          publisher.send(subject, data, `${batch}Nats-Batch-Commit: 1\r\n${lines}`, (outcome) =>
            this.#batchEnded(members, outcome, timed ? began : undefined),
          );
      }
    } catch {
      // One of them cannot be sent at all. The server forgets a batch that is never committed.
      this.#batches--;
      for (const member of members) this.#memberAlone(member);
    }
  }

  #batchEnded(members: readonly Member[], outcome: PublishOutcome, began: number | undefined): void {
    const now = this.#parts.now();
    const ms = began === undefined ? 0 : now - Math.max(began, this.#lastBatchEnded);
    this.#lastBatchEnded = now;
    this.#batches--;
    const size = members.length;
    if (outcome.kind === 'stored' && outcome.count === size) {
      this.#tuner.measured('group', began === undefined ? 0 : size, ms, now);
      this.#most = Math.min(MOST, this.#most + MANY);
      this.#allStored(members, outcome, 0);
    } else if (outcome.kind === 'refused') {
      this.#tuner.measured('group', 0, ms, now);
      this.#takeApart(members, outcome.code, now);
    } else {
      const reason = outcome.kind === 'unknown' ? outcome.reason : 'the acknowledgement is that of another batch';
      for (const member of members) this.#memberEnded(member, { kind: 'unknown', reason });
      // The server may be in trouble: waiting in line for it would only make the wait longer.
      this.#flushAlone();
    }
    if (this.#queue.length > 0) this.#schedule();
  }

  /** Tells a few per turn of the event loop: what they do next begins while others have not heard yet, and nothing waits for all of them. */
  #allStored(members: readonly Member[], outcome: Stored, from: number): void {
    const { stream, seq } = outcome;
    const first = seq - members.length + 1;
    const to = Math.min(from + TOLD_AT_ONCE, members.length);
    for (const [i, member] of members.slice(from, to).entries()) {
      this.#memberEnded(member, { kind: 'stored', stream, seq: first + from + i, duplicate: false });
    }
    if (to < members.length) this.#parts.soon(() => this.#allStored(members, outcome, to));
  }

  /** Halves, as long as they are worth a batch: with one wrong member most of the others still share their fsyncs. */
  #takeApart(members: readonly Member[], code: number, now: number): void {
    const half = Math.ceil(members.length / 2);
    if (!ONE_IS_WRONG.has(code) && code !== TOO_LARGE) this.#tuner.impossible(now);
    else if (half >= this.#parts.atLeast && half > 1) {
      this.#most = Math.max(half, this.#parts.atLeast);
      this.#sendBatch(members.slice(0, half));
      this.#sendBatch(members.slice(half));
      return;
    }
    for (const member of members) this.#memberAlone(member);
  }

  #memberAlone(member: Member): void {
    try {
      this.#sendAlone(member.subject, member.data, member.lines, (outcome) => this.#memberEnded(member, outcome));
    } catch (error) {
      this.#release(member.key);
      member.reject(error);
    }
  }

  #memberEnded(member: Member, outcome: PublishOutcome): void {
    this.#release(member.key);
    member.resolve(outcome);
  }

  /** Lets the next one of the same key go (G3). */
  #release(key: string | undefined): void {
    if (key === undefined) return;
    const held = this.#held.get(key);
    const next = held?.shift();
    if (next === undefined) {
      this.#held.delete(key);
      this.#taken.delete(key);
    } else this.#memberAlone(next);
  }

  #sendAlone(subject: string, data: Payload, lines: string, settle: Settle): void {
    this.#parts.publisher.send(subject, data, lines, (outcome) => {
      this.#alone--;
      this.#aloneEnded(outcome);
      settle(outcome);
    });
    this.#alone++;
    if (this.#parts.mode === 'auto' && this.#alone >= MANY) this.#manyAlone();
  }

  #manyAlone(): void {
    if ((this.#published++ & (MANY - 1)) !== 0) return;
    this.#tuner.look(this.#parts.now());
    if (this.#tuner.wantsAlone && this.#stretch === undefined && this.#batches === 0) {
      this.#stretch = { began: this.#parts.now(), stored: 0 };
    }
  }

  #aloneEnded(outcome: PublishOutcome): void {
    const stretch = this.#stretch;
    if (stretch !== undefined) {
      if (outcome.kind === 'stored') stretch.stored++;
      // Only time in which others wait counts: an idle server is not a slow one.
      if (stretch.stored >= STRETCH || this.#alone < this.#parts.atLeast) {
        const now = this.#parts.now();
        this.#stretch = undefined;
        this.#tuner.measured('alone', stretch.stored, now - stretch.began, now);
        if (this.#tuner.wantsAlone && this.#alone >= MANY) this.#stretch = { began: now, stored: 0 };
      }
    }
    if (this.#queue.length > 0) this.#schedule();
  }
}
