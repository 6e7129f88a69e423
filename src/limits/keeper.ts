/**
 * The keeper of limits: takes what is asked, decides, appends, tells whoever waits, acknowledges.
 *
 * Job: drive every key of every limit forward from its log, any number of keepers at once. Boundary: ports only; the rules
 * are in model/. Invariants (docs/architecture.md):
 *   L1 message → entry → what follows → ack, in this order; a crash anywhere is repaired by the redelivery;
 *   L2 nobody appends behind an entry, or acknowledges what comes again and is in it, before what follows from that entry is
 *      known to be sent: so only the last entry of a log can have something unsent;
 *   L3 what is decided is decided on everything that was asked before it: a remembered state is taken only where nothing can
 *      have gone elsewhere; else what is open is looked up first and the log is read after that (what was not open any more
 *      is in it);
 *   L4 one key at a time in a process, all that waits for it in one entry; between processes the expected sequence decides;
 *   L5 what cannot be read is terminated, what fails for now is given back, and its key is read anew.
 */
import { giveBackMs, type InputBody, limitMessageSchema, type RunRef } from '../engine/index.ts';
import { type Clock, isMillraceError, MillraceError, messageOf } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import {
  decideLimit,
  FORGET_AFTER_MS,
  foldLimit,
  type LimitEntry,
  type LimitInput,
  type LimitState,
  type LimitTransition,
  reactLimit,
} from './model/index.ts';
import type { AskDelivery, LimitJournal, LimitRef, StoredAsk } from './port.ts';
import { count } from './telemetry.ts';

export interface KeeperPorts {
  readonly journal: LimitJournal;
  /** Stores an input of a run; the same id twice within the duplicate window is stored once. */
  readonly tell: (run: RunRef, body: InputBody, msgId: string) => Promise<unknown>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** An entry has the whole state with it where that is small: the log is one message then. Else one in so many has, or fewer where it is large. */
const SMALL = 32;
const STATE_EVERY = 16;
const MOST_CONFLICTS = 50;
const REMEMBERED = 10_000;

interface Known {
  readonly state: LimitState;
  /** Everything asked up to here is handled. */
  readonly settled: number;
  /** Entries since the last one with a whole state. */
  readonly since: number;
  /** Of the last entry: what may have to be sent again. Undefined once it is known to be sent. */
  readonly unsent: readonly LimitTransition[] | undefined;
}

const keyOf = ({ limit, token }: LimitRef): string => `${limit}.${token}`;

interface Waiting {
  readonly delivery: AskDelivery;
  readonly input: LimitInput;
  /** Told whether it may be acknowledged. */
  readonly done: (well: boolean) => void;
}

export class LimitKeeper {
  readonly #ports: KeeperPorts;
  readonly #known = new Map<string, Known>();
  readonly #waiting = new Map<string, Waiting[]>();
  /** Keys of which something was given back: the highest sequence of it. */
  readonly #doubtful = new Map<string, number>();

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
  }

  /** Handles one delivery to its end (ack, nak or term); never rejects. */
  handle(delivery: AskDelivery): Promise<void> {
    const body = parse(delivery.data);
    if (body === undefined) {
      const { ref, seq } = delivery;
      this.#ports.telemetry.log.warn({ ...ref, seq }, 'what was asked of a limit cannot be read');
      delivery.term('cannot be read');
      return Promise.resolve();
    }
    const { seq, at } = delivery;
    const handled = new Promise<boolean>((done) => {
      const key = keyOf(delivery.ref);
      const one = { delivery, input: { seq, at, body }, done };
      const waiting = this.#waiting.get(key);
      if (waiting !== undefined) return void waiting.push(one);
      this.#waiting.set(key, [one]);
      void this.#turns(key, delivery.ref);
    });
    return handled.then((well) => (well ? delivery.ack() : delivery.nak(giveBackMs(delivery.deliveries))));
  }

  /** L4. */
  async #turns(key: string, ref: LimitRef): Promise<void> {
    for (;;) {
      const batch = this.#waiting.get(key)?.splice(0) ?? [];
      if (batch.length === 0) break;
      batch.sort((a, b) => a.input.seq - b.input.seq);
      const last = batch.at(-1)?.input.seq ?? 0;
      let well = true;
      try {
        await this.#process(key, ref, batch);
        this.#trust(key, last);
      } catch (error) {
        well = false;
        this.#doubt(key, last); // before the key's next turn
        const { log } = this.#ports.telemetry;
        log.warn({ ...ref, count: batch.length, err: error }, `asks given back: ${messageOf(error)}`);
      }
      for (const { done } of batch) done(well);
    }
    this.#waiting.delete(key);
  }

  /** What was given back above it is still open: something older must not make up for it. */
  #trust(key: string, seq: number): void {
    if ((this.#doubtful.get(key) ?? 0) <= seq) this.#doubtful.delete(key);
  }

  #doubt(key: string, seq: number): void {
    this.#known.delete(key);
    this.#doubtful.set(key, Math.max(this.#doubtful.get(key) ?? 0, seq));
  }

  async #process(key: string, ref: LimitRef, batch: readonly Waiting[]): Promise<void> {
    const last = batch.at(-1)?.input.seq ?? 0;
    for (let conflicts = 0; conflicts <= MOST_CONFLICTS; ) {
      const settled = await this.#try(key, ref, batch);
      if (settled !== undefined && settled >= last) return;
      if (settled !== undefined) continue; // there was too much for one entry
      this.#known.delete(key);
      conflicts++;
    }
    throw new MillraceError('MR_CONFLICT', `${MOST_CONFLICTS} collisions with other keepers in a row`);
  }

  /** @returns how far everything is handled; undefined when somebody else was faster */
  async #try(key: string, ref: LimitRef, batch: readonly Waiting[]): Promise<number | undefined> {
    const { known, asks } = await this.#look(key, ref, batch);
    const again = batch.some(({ input, delivery }) => input.seq <= known.settled && delivery.deliveries > 1);
    const open = asks.filter(({ seq }) => seq > known.settled);
    const inputs = asMuchAsFits(open);
    const { transitions, after } = decideLimit(known.state, inputs, this.#ports.clock.now());
    if (known.unsent !== undefined && (again || transitions.length > 0))
      await this.#send(ref, known.state, known.unsent);
    const cause = inputs.at(-1)?.seq ?? 0;
    // Where all of it had room, what is not in it was handled by others.
    const upTo = inputs.length < open.length ? cause : Math.max(cause, batch.at(-1)?.input.seq ?? 0);
    const settled = Math.max(known.settled, upTo);
    if (transitions.length === 0) {
      this.#remember(key, { ...known, settled, unsent: again ? undefined : known.unsent });
      return settled;
    }
    const at = inputs.at(-1)?.at ?? 0;
    const stored = await this.#append(ref, known, { v: 1, cause, at, transitions }, after);
    if (stored === undefined) return undefined;
    const state = { ...after, lastInput: cause, lastEntry: stored.seq };
    this.#remember(key, { state, settled, since: stored.since, unsent: transitions });
    await this.#send(ref, state, transitions);
    this.#remember(key, { state, settled, since: stored.since, unsent: undefined });
    count(this.#ports.telemetry, known.state, transitions);
    return settled;
  }

  /** L3: the state to decide on, and all that is to be decided. */
  async #look(key: string, ref: LimitRef, batch: readonly Waiting[]): Promise<{ known: Known; asks: LimitInput[] }> {
    const own = batch.map(({ input }) => input);
    const last = own.at(-1)?.seq ?? 0;
    const ownSince = Math.max(...batch.map(({ delivery }) => delivery.ownSince));
    const doubtful = this.#doubtful.has(key);
    const remembered = this.#known.get(key);
    if (remembered !== undefined && !doubtful && remembered.settled >= ownSince)
      return { known: remembered, asks: own };
    const { journal } = this.#ports;
    const complete = !doubtful && batch.every(({ delivery }) => delivery.restAcked);
    const open = complete ? [] : await journal.openAsks(ref, last);
    const entries = await journal.entries(ref);
    const state = foldLimit(ref.limit, entries);
    const from = entries.findLastIndex((entry) => entry.state !== undefined);
    const newest = entries.at(-1);
    // Who wrote it had its cause in hand, and acknowledges that when everything is sent.
    const unsent = [...own, ...open].some(({ seq }) => seq === newest?.cause) ? newest?.transitions : undefined;
    const known = {
      state,
      settled: state.lastInput,
      since: from === -1 ? STATE_EVERY : entries.length - 1 - from,
      unsent,
    };
    if (state.lastEntry !== 0 || !this.#isOld(own)) return { known, asks: merged(own, open) };
    // It may be new, or forgotten since another keeper handled what this process has had in hand for so long.
    const still = new Set((await journal.openAsks(ref, last + 1)).map(({ seq }) => seq));
    return { known, asks: merged(own, open).filter(({ seq }) => still.has(seq)) };
  }

  /** Whether a key may have been forgotten since it was asked, whoever's clock is a few minutes off. */
  #isOld([oldest]: readonly LimitInput[]): boolean {
    return oldest !== undefined && oldest.at + FORGET_AFTER_MS / 2 <= this.#ports.clock.now();
  }

  async #append(
    ref: LimitRef,
    { state, since }: Known,
    entry: LimitEntry,
    after: LimitState,
  ): Promise<{ readonly seq: number; readonly since: number } | undefined> {
    const { journal } = this.#ports;
    const size = after.waiting.length + after.held.length + (after.gathered?.items.length ?? 0);
    const whole = size <= SMALL || since + 1 >= Math.max(STATE_EVERY, size / 8);
    if (whole) {
      try {
        const stored = await journal.append(ref, { ...entry, state: after }, state.lastEntry);
        return stored.ok ? { seq: stored.value, since: 0 } : undefined;
      } catch (error) {
        // Then it stays in parts until it is smaller.
        if (!isMillraceError(error, 'MR_PAYLOAD_TOO_LARGE')) throw error;
      }
    }
    const stored = await journal.append(ref, entry, state.lastEntry);
    return stored.ok ? { seq: stored.value, since: whole ? 0 : since + 1 } : undefined;
  }

  /** Tells everybody; all have ended before an error is reported. */
  async #send(ref: LimitRef, { limit, key }: LimitState, transitions: readonly LimitTransition[]): Promise<void> {
    const { journal, tell } = this.#ports;
    const results = await Promise.allSettled(
      reactLimit(limit, key, transitions).map((command) => {
        if (command.kind === 'timer') return journal.setTimer(ref, command.at);
        const { workflow, runId } = command.holder;
        return tell({ workflow, runId }, command.body, command.msgId);
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  #remember(key: string, known: Known): void {
    this.#known.delete(key);
    this.#known.set(key, known);
    if (this.#known.size <= REMEMBERED) return;
    const oldest = this.#known.keys().next();
    if (oldest.done !== true) this.#known.delete(oldest.value);
  }
}

/** What is gathered goes into the entry, and with it into the start that follows from it. */
const MOST_BYTES = 200_000;

/** The first of them, at least one, that one entry has room for. */
function asMuchAsFits(inputs: readonly LimitInput[]): readonly LimitInput[] {
  let bytes = 0;
  const end = inputs.findIndex(({ body }, n) => {
    if (body.kind === 'collect') bytes += JSON.stringify(body.start).length;
    return n > 0 && bytes > MOST_BYTES;
  });
  return end === -1 ? inputs : inputs.slice(0, end);
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function parse(data: Uint8Array): LimitInput['body'] | undefined {
  try {
    return limitMessageSchema.safeParse(JSON.parse(decoder.decode(data))).data;
  } catch {
    return undefined;
  }
}

/** Our own and others' that are open, in the order of the stream. */
function merged(own: readonly LimitInput[], open: readonly StoredAsk[]): LimitInput[] {
  const bySeq = new Map(own.map((input) => [input.seq, input]));
  for (const { seq, at, data } of open) {
    const body = bySeq.has(seq) ? undefined : parse(data);
    if (body !== undefined) bySeq.set(seq, { seq, at, body });
  }
  return [...bySeq.values()].sort((a, b) => a.seq - b.seq);
}
