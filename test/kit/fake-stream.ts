/** A stream as a publisher sees it: fences, message ids and atomic batches, in memory, one message of the wire per step. */
import type { Payload, Publisher, PublishOutcome, Settle } from '../../src/drivers/index.ts';

export interface Stored {
  readonly subject: string;
  readonly text: string;
  /** Id of the batch it came in. */
  readonly batch: string | undefined;
}

interface Sent {
  readonly subject: string;
  readonly text: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly settle: Settle | undefined;
}

type Refused = Extract<PublishOutcome, { kind: 'refused' }>;
const refused = (code: number): Refused => ({ kind: 'refused', code, reason: `code ${code}` });
const decoder = new TextDecoder();

export class FakeStream implements Pick<Publisher, 'send' | 'post'> {
  readonly stored: Stored[] = [];
  /** What came over the wire, in order: a batch id, or "alone". */
  readonly wire: string[] = [];
  readonly #sent: Sent[] = [];
  readonly #last = new Map<string, number>();
  readonly #ids = new Map<string, number>();
  #staged: Sent[] = [];
  /** Called for every fsync. */
  onSync: () => void = () => undefined;
  batches = true;
  /** Messages with this text cannot be sent at all. */
  unsendable = '';

  send(subject: string, data: Payload, lines: string, settle: Settle): void {
    this.#put(subject, data, lines, settle);
  }

  post(subject: string, data: Payload, lines: string): void {
    this.#put(subject, data, lines, undefined);
  }

  /** Handles the next message of the wire; false when there is none. */
  step(): boolean {
    const sent = this.#sent.shift();
    if (sent === undefined) return false;
    const batch = sent.headers.get('Nats-Batch-Id');
    if (batch === undefined) sent.settle?.(this.#one(sent));
    else this.#inBatch(sent);
    return true;
  }

  /** The connection breaks: what is on the wire is lost, whoever waits does not know. */
  lose(): void {
    const lost = this.#sent.splice(0);
    this.#staged = [];
    for (const { settle } of lost) settle?.({ kind: 'unknown', reason: 'the connection was lost' });
  }

  #put(subject: string, data: Payload, block: string, settle: Settle | undefined): void {
    const text = typeof data === 'string' ? data : decoder.decode(data);
    if (text === this.unsendable) throw new Error('cannot be sent');
    const headers = new Map(
      block.split('\r\n').flatMap((line): [string, string][] => {
        const at = line.indexOf(': ');
        return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 2)]];
      }),
    );
    this.wire.push(headers.get('Nats-Batch-Id') ?? 'alone');
    this.#sent.push({ subject, text, headers, settle });
  }

  #one(sent: Sent): PublishOutcome {
    const id = sent.headers.get('Nats-Msg-Id');
    const known = id === undefined ? undefined : this.#ids.get(id);
    if (known !== undefined) return { kind: 'stored', stream: 'S', seq: known, duplicate: true };
    const expected = sent.headers.get('Nats-Expected-Last-Subject-Sequence');
    if (expected !== undefined && Number(expected) !== (this.#last.get(sent.subject) ?? 0)) return refused(10071);
    this.onSync();
    return { kind: 'stored', stream: 'S', seq: this.#store(sent), duplicate: false };
  }

  #inBatch(sent: Sent): void {
    if (Number(sent.headers.get('Nats-Batch-Sequence')) !== this.#staged.length + 1)
      throw new Error('a gap in a batch');
    this.#staged.push(sent);
    if (sent.headers.get('Nats-Batch-Commit') !== '1') return;
    const members = this.#staged;
    this.#staged = [];
    const wrong = this.batches ? this.#check(members) : refused(10174);
    if (wrong !== undefined) return sent.settle?.(wrong);
    this.onSync();
    let seq = 0;
    for (const member of members) seq = this.#store(member);
    sent.settle?.({ kind: 'stored', stream: 'S', seq, duplicate: false, count: members.length });
  }

  #check(members: readonly Sent[]): Refused | undefined {
    const [ids, subjects] = [new Set<string>(), new Set<string>()];
    for (const { subject, headers } of members) {
      const id = headers.get('Nats-Msg-Id');
      if (id !== undefined && (ids.has(id) || this.#ids.has(id))) return refused(10201);
      if (id !== undefined) ids.add(id);
      const expected = headers.get('Nats-Expected-Last-Subject-Sequence');
      if (expected !== undefined) {
        if (subjects.has(subject)) return refused(10164);
        if (Number(expected) !== (this.#last.get(subject) ?? 0)) return refused(10071);
      }
      subjects.add(subject);
    }
    return undefined;
  }

  #store({ subject, text, headers }: Sent): number {
    this.stored.push({ subject, text, batch: headers.get('Nats-Batch-Id') });
    const seq = this.stored.length;
    this.#last.set(subject, seq);
    const id = headers.get('Nats-Msg-Id');
    if (id !== undefined) this.#ids.set(id, seq);
    return seq;
  }
}
