/**
 * Schedules in memory under seeded faults: the same handler and keeper as in production, several controllers at once, every call
 * of a port may fail before it did anything, or after (its answer is lost), and takes a random number of turns.
 */
import type { Definition, ScheduleDefinition } from '../../src/engine/index.ts';
import { err, ok, type Result } from '../../src/kernel/index.ts';
import { Keeper } from '../../src/schedules/keeper.ts';
import { Lines } from '../../src/schedules/lines.ts';
import type {
  EndStatus,
  LineEntry,
  LineInputBody,
  LineRef,
  LineStart,
  StoredLineEntry,
} from '../../src/schedules/model/line.ts';
import type { LineDelivery, LineRuns, LineStore, StoredLineInput } from '../../src/schedules/ports.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { Chance } from './chance.ts';

export const REF: LineRef = { workflow: 'w', line: 'tick' };
const START = Date.UTC(2026, 0, 1);
const WINDOW_MS = 120_000;

interface Input extends StoredLineInput {
  readonly msgId: string;
  deliveries: number;
  acked: boolean;
  /** In hand of a controller. */
  out: boolean;
}
export interface SimulatedRun {
  readonly runId: string;
  readonly time: number;
  readonly startedAt: number;
  status: 'open' | EndStatus;
  stop?: 'cancel' | 'kill';
}

export class SchedulesWorld {
  readonly chance: Chance;
  now = START;
  readonly inputs: Input[] = [];
  readonly log: StoredLineEntry[] = [];
  readonly runs = new Map<string, SimulatedRun>();
  faults = 0;
  timer: number | undefined;
  spec: ScheduleDefinition | undefined;
  trouble: number;
  readonly #controllers: { readonly lines: Lines; readonly keeper: Keeper }[];
  #seq = 0;

  constructor(seed: number, spec: ScheduleDefinition) {
    this.chance = new Chance(seed);
    this.spec = spec;
    this.trouble = 0.15;
    this.#controllers = [0, 1, 2].map(() => {
      const clock = { now: () => this.now, sleep: () => Promise.reject(new Error('nobody sleeps here')) };
      const ports = { store: this.#store(), runs: this.#runs(), clock, telemetry: noTelemetry };
      return { lines: new Lines(ports), keeper: new Keeper({ ...ports, current: async () => this.definition }) };
    });
  }

  get definition(): Definition {
    const schedules = this.spec === undefined ? {} : { schedules: [this.spec] };
    return { name: 'w', digest: 'd', deadLetter: false, steps: [], triggers: [], ...schedules };
  }

  get last(): StoredLineEntry | undefined {
    return this.log.at(-1);
  }

  /** A call of a port: it takes a while, and may fail before or after it has done what it does. */
  async #call<T>(effect: () => T): Promise<T> {
    for (let turns = this.chance.below(4); turns > 0; turns--) await Promise.resolve();
    if (this.chance.happens(this.trouble / 2)) throw this.#fault('before');
    const result = effect();
    for (let turns = this.chance.below(3); turns > 0; turns--) await Promise.resolve();
    if (this.chance.happens(this.trouble / 2)) throw this.#fault('after');
    return result;
  }

  #fault(when: string): Error {
    this.faults++;
    return new Error(`failed ${when} its effect`);
  }

  put(body: LineInputBody, msgId: string): { seq: number; duplicate: boolean } {
    const known = this.inputs.find((one) => one.msgId === msgId && this.now - one.at < WINDOW_MS);
    if (known !== undefined) return { seq: known.seq, duplicate: true };
    const seq = ++this.#seq;
    const data = new TextEncoder().encode(JSON.stringify(body));
    this.inputs.push({ seq, at: this.now, data, msgId, deliveries: 0, acked: false, out: false });
    return { seq, duplicate: false };
  }

  #store(): LineStore {
    return {
      last: () => this.#call(() => this.last),
      causedBy: (_ref, seq) => this.#call(() => this.log.find(({ cause }) => cause === seq)),
      append: (_ref, entry, expected) => this.#call(() => this.#append(entry, expected)),
      inputsBetween: (_ref, after, before) =>
        this.#call(() => this.inputs.filter(({ seq, acked }) => !acked && seq > after && seq < before)),
      send: (_ref, body, msgId) => this.#call(() => this.put(body, msgId)),
      setTimer: (_ref, due) => this.#call(() => void (this.timer = due)),
      clearTimer: () => this.#call(() => void (this.timer = undefined)),
      trim: async () => undefined,
    };
  }

  #append(entry: LineEntry, expected: number): Result<number, 'conflict'> {
    if ((this.last?.seq ?? 0) !== expected) return err('conflict');
    const seq = ++this.#seq;
    this.log.push({ ...structuredClone(entry), seq });
    return ok(seq);
  }

  #runs(): LineRuns {
    return {
      look: (_workflow, runId) => this.#call(() => this.runs.get(runId)?.status ?? 'new'),
      start: (_ref, start) => this.#call(() => this.#start(start)),
      stop: (_ref, { runId, kill }) =>
        this.#call(() => {
          const run = this.runs.get(runId);
          if (run !== undefined) run.stop = kill ? 'kill' : 'cancel';
        }),
    };
  }

  /** As the engine has it: a run that was started is not started again. */
  #start({ runId, time }: LineStart): void {
    if (this.runs.has(runId)) return;
    this.runs.set(runId, { runId, time, startedAt: this.now, status: 'open' });
  }

  get open(): readonly SimulatedRun[] {
    return [...this.runs.values()].filter(({ status }) => status === 'open');
  }

  /** Deliveries that wait, or were given out to somebody who seems dead. */
  get waiting(): readonly Input[] {
    return this.inputs.filter(({ acked, out }) => !acked && !out);
  }

  /** Hands the inputs to controllers, all at once; one may go to two. */
  async deliver(inputs: readonly Input[]): Promise<void> {
    await Promise.all(
      inputs.flatMap((input) => {
        const hands = this.chance.happens(this.trouble / 3) ? 2 : 1;
        return Array.from({ length: hands }, () => this.#hand(input));
      }),
    );
  }

  async #hand(input: Input): Promise<void> {
    input.out = true;
    const delivery: LineDelivery = {
      ...{ ref: REF, seq: input.seq, at: input.at, data: input.data, deliveries: ++input.deliveries },
      ack: () => {
        // An ack may be lost: the input comes again.
        if (!this.chance.happens(this.trouble / 3)) input.acked = true;
      },
      nak: () => undefined,
      term: (reason) => {
        throw new Error(reason);
      },
    };
    await this.chance.pick(this.#controllers).lines.handle(delivery);
    input.out = false;
  }

  async keep(): Promise<void> {
    const { keeper } = this.chance.pick(this.#controllers);
    keeper.defined(this.definition);
    if (this.last !== undefined) keeper.line(this.last);
    await keeper.tick();
  }

  /** Time passes; the server fires the timer that is due, perhaps twice. */
  pass(ms: number): void {
    this.now += ms;
    const due = this.timer;
    if (due === undefined || due > this.now) return;
    this.timer = undefined;
    for (let times = this.chance.happens(this.trouble / 3) ? 2 : 1; times > 0; times--) {
      this.put({ v: 1, kind: 'due', due }, `fired:${this.#seq}`);
    }
  }

  end(run: SimulatedRun): void {
    run.status = this.chance.pick(['completed', 'failed', 'cancelled'] as const);
  }
}
