/**
 * The handler of lines: takes inputs, looks at the runs that are open, decides, appends, sends commands, acknowledges.
 *
 * Job: drive schedules from their logs, any number of controllers at once. Boundary: ports only; the rules are in model/.
 *   S6 input → entry → commands → ack, in this order; a crash anywhere is repaired by the redelivery;
 *   S7 the append's expected sequence decides between controllers, and earlier inputs of a line are handled first;
 *   S8 whether a run has ended is read from its own journal, so no event that is lost, late or double can matter.
 */
import { giveBackMs } from '../engine/index.ts';
import { type Clock, MillraceError, messageOf } from '../kernel/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import { decideLine, lineCommands, timeOf } from './model/decide.ts';
import { evolveLine } from './model/evolve.ts';
import {
  type LineCommand,
  type LineEntry,
  type LineInput,
  type LineInputBody,
  type LineRef,
  type LineState,
  lineInputSchema,
  newLine,
} from './model/line.ts';
import type { LineDelivery, LineRuns, LineStore, StoredLineInput } from './ports.ts';
import { tell } from './tell.ts';

export interface LinePorts {
  readonly store: LineStore;
  readonly runs: LineRuns;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** A run that was fired and of which there is nothing: its start is on its way for at most so long. */
const GONE_MS = 600_000;
const MAX_CONFLICTS = 20;
/** Entries kept for people to look at; the last one alone is needed. */
const KEPT_ENTRIES = 200;
const TRIM_EVERY = 100;

const keyOf = ({ workflow, line }: LineRef): string => `${workflow}.${line}`;
const decoder = new TextDecoder();

function bodyOf(data: Uint8Array): LineInputBody | undefined {
  try {
    const parsed = lineInputSchema.safeParse(JSON.parse(decoder.decode(data)));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

export class Lines {
  readonly #ports: LinePorts;
  /** The end of each line's queue in this process. */
  readonly #tails = new Map<string, Promise<void>>();

  constructor(ports: LinePorts) {
    this.#ports = ports;
  }

  /** Handles one delivery to its end; never rejects. */
  handle(delivery: LineDelivery): Promise<void> {
    const key = keyOf(delivery.ref);
    const mine = (this.#tails.get(key) ?? Promise.resolve()).then(() => this.#turn(delivery));
    this.#tails.set(key, mine);
    return mine.finally(() => {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
    });
  }

  async #turn(delivery: LineDelivery): Promise<void> {
    const { ref, seq, deliveries } = delivery;
    const { log } = this.#ports.telemetry;
    try {
      if (bodyOf(delivery.data) === undefined) {
        log.warn({ ...ref, seq }, 'an input of a schedule that cannot be read');
        return delivery.term('not an input of a schedule');
      }
      await this.#process(delivery);
      delivery.ack();
    } catch (error) {
      log.warn({ ...ref, seq, deliveries, err: error }, `input of a schedule given back: ${messageOf(error)}`);
      delivery.nak(giveBackMs(deliveries));
    }
  }

  async #process({ ref, seq, at, data }: LineDelivery): Promise<void> {
    for (let conflicts = 0; conflicts <= MAX_CONFLICTS; conflicts++) {
      const state = await this.#read(ref);
      if (seq <= state.lastInput) return this.#again(ref, seq, state);
      const earlier = await this.#ports.store.inputsBetween(ref, state.lastInput, seq);
      if (await this.#applyAll(state, [...earlier, { seq, at, data }])) return;
    }
    throw new MillraceError('MR_CONFLICT', `${MAX_CONFLICTS} collisions with other controllers in a row`);
  }

  async #read(ref: LineRef): Promise<LineState> {
    const last = await this.#ports.store.last(ref);
    return last === undefined ? newLine(ref) : { ...last.after, lastEntry: last.seq };
  }

  /** false: another controller was faster. */
  async #applyAll(state: LineState, inputs: readonly StoredLineInput[]): Promise<boolean> {
    let now = state;
    for (const { seq, at, data } of inputs) {
      const body = bodyOf(data);
      if (body === undefined) continue; // its own delivery is terminated
      const next = await this.#apply(now, { seq, at, body, ended: await this.#ended(now, at, body) });
      if (next === 'conflict') return false;
      now = next;
    }
    return true;
  }

  /** S8 */
  async #ended(state: LineState, at: number, body: LineInputBody): Promise<LineInput['ended']> {
    const { workflow, running } = state;
    const known = body.kind === 'replace' ? body.known : [];
    const names = new Set([...running.map(({ runId }) => runId), ...known]);
    const ended: LineInput['ended'][number][] = [];
    for (const runId of names) {
      const status = await this.#ports.runs.look(workflow, runId);
      const fired = running.find((run) => run.runId === runId)?.at ?? 0;
      if (status === 'new' ? at - fired > GONE_MS : status !== 'open') {
        ended.push({ runId, status: status === 'new' || status === 'open' ? 'gone' : status });
      }
    }
    return ended;
  }

  async #apply(before: LineState, input: LineInput): Promise<LineState | 'conflict'> {
    const { seq } = input;
    const at = timeOf(before, input);
    const transitions = decideLine(before, input);
    if (transitions.length === 0) return before;
    const folded = transitions.reduce((state, t) => evolveLine(state, t, at), before);
    const after: LineState = { ...folded, lastInput: seq, entries: before.entries + 1 };
    const entry: LineEntry = { v: 1, cause: seq, at, transitions, after };
    const appended = await this.#ports.store.append(before, entry, before.lastEntry);
    if (!appended.ok) return 'conflict';
    const { clock, telemetry, store } = this.#ports;
    tell(telemetry, after, entry, clock.now());
    await this.#send(before, lineCommands(transitions));
    if (after.entries % TRIM_EVERY === 0) await store.trim(before, KEPT_ENTRIES);
    return { ...after, lastEntry: appended.value };
  }

  /** The input was handled before, perhaps by a process that died before it sent everything. */
  async #again(ref: LineRef, seq: number, now: LineState): Promise<void> {
    const entry = await this.#ports.store.causedBy(ref, seq);
    if (entry === undefined) return;
    const wanted = lineCommands(entry.transitions).filter((command) => {
      if (command.kind === 'timer') return now.next?.due === command.due;
      return command.kind !== 'timer.clear' || now.next === undefined;
    });
    await this.#send(ref, wanted);
  }

  async #send(ref: LineRef, commands: readonly LineCommand[]): Promise<void> {
    const { store, runs } = this.#ports;
    for (const command of commands) {
      if (command.kind === 'start') await runs.start(ref, command.start);
      else if (command.kind === 'stop') await runs.stop(ref, command);
      else if (command.kind === 'timer') await store.setTimer(ref, command.due);
      else await store.clearTimer(ref);
    }
  }
}
