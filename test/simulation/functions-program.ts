/** Durable functions made by chance: programs of the context's operations, and the one function that interprets them. */
import type { Context, StepAttempt } from '../../src/functions/index.ts';
import { isObject, type Json } from '../../src/kernel/index.ts';
import type { Chance } from './chance.ts';

export interface StepOp {
  readonly op: 'step';
  readonly name: string;
  readonly sync: boolean;
  /** Attempts that fail before one succeeds. */
  readonly fails: number;
  /** Fails for good. */
  readonly fatal: boolean;
  /** The code goes on when it has failed for good. */
  readonly caught: boolean;
  /** Waits for a person when its attempts are used up: two of them, not four. */
  readonly pauses?: boolean;
  /** Each attempt says how far it is. */
  readonly beats?: boolean;
}
interface SignalOp {
  readonly op: 'signal';
  readonly name: string;
  readonly timeoutMs: number | undefined;
}
interface SleepOp {
  readonly op: 'sleep';
  readonly ms: number;
}
type Wait = SignalOp | SleepOp;

export interface ChildOp {
  readonly op: 'child';
  readonly ops: readonly Op[];
  readonly detached: boolean;
  readonly onClose: 'cancel' | 'abandon';
}

export interface MapOp {
  readonly op: 'map';
  readonly step: StepOp;
  readonly count: number;
  readonly maxParallel: number;
  readonly collect: boolean;
  /** The item that fails for good; none if there is no such item. */
  readonly failing: number;
}

export type Op =
  | ChildOp
  | MapOp
  | StepOp
  | Wait
  | { readonly op: 'draw' }
  /** Plain code that awaits nothing of the context. */
  | { readonly op: 'compute'; readonly turns: number }
  | { readonly op: 'parallel'; readonly branches: readonly (readonly Op[])[] }
  | { readonly op: 'race'; readonly between: readonly [StepOp | SignalOp, SleepOp] };

const RETRY = { initialMs: 700, maxAttempts: 4 };
const SHORT = [0, 10, 1_500];
const LONG = [2_500, 30_000, 90_000, 400_000];

/** `deep`: with all that a step can have; without, the worlds are those of before there was more. */
function anyStep(chance: Chance, deep: boolean): StepOp {
  const fatal = chance.happens(0.1);
  const more = deep ? { pauses: !fatal && chance.happens(0.2), beats: chance.happens(0.2) } : {};
  return {
    ...more,
    op: 'step',
    name: chance.pick(['a', 'b', 'c']),
    sync: chance.happens(0.4),
    fails: chance.happens(0.25) ? 1 + chance.below(2) : 0,
    fatal,
    caught: chance.happens(0.7),
  };
}

const anySleep = (chance: Chance): SleepOp => ({
  op: 'sleep',
  ms: chance.pick(chance.happens(0.4) ? SHORT : LONG),
});

const anySignal = (chance: Chance): SignalOp => ({
  op: 'signal',
  name: chance.pick(['go', 'ok']),
  timeoutMs: chance.happens(0.4) ? chance.pick([1_000, 20_000, 100_000]) : undefined,
});

function anyOp(chance: Chance, depth: number, deep: boolean): Op {
  const kind = chance.weighted([
    { weight: 5, kind: 'step' },
    { weight: 2, kind: 'sleep' },
    { weight: 2, kind: 'signal' },
    { weight: 1, kind: 'draw' },
    { weight: 1, kind: 'compute' },
    { weight: depth > 0 ? 2 : 0, kind: 'parallel' },
    { weight: 2, kind: 'race' },
    { weight: deep && depth > 0 ? 2 : 0, kind: 'child' },
    { weight: deep ? 1 : 0, kind: 'map' },
  ] as const).kind;
  switch (kind) {
    case 'step':
      return anyStep(chance, deep);
    case 'sleep':
      return anySleep(chance);
    case 'signal':
      return anySignal(chance);
    case 'child':
      return {
        op: 'child',
        ops: anyOps(chance, depth - 1, 3, deep),
        detached: chance.happens(0.2),
        onClose: chance.happens(0.7) ? 'cancel' : 'abandon',
      };
    case 'map':
      return {
        op: 'map',
        step: { ...anyStep(chance, deep), fatal: false },
        count: chance.below(7),
        maxParallel: 1 + chance.below(4),
        collect: chance.happens(0.4),
        failing: chance.happens(0.4) ? chance.below(7) : -1,
      };
    case 'draw':
      return { op: 'draw' };
    case 'compute':
      return { op: 'compute', turns: 1 + chance.below(5) };
    case 'parallel':
      return {
        op: 'parallel',
        branches: Array.from({ length: 2 + chance.below(2) }, () => anyOps(chance, depth - 1, 3, deep)),
      };
    case 'race':
      return {
        op: 'race',
        between: [chance.happens(0.5) ? anyStep(chance, deep) : anySignal(chance), anySleep(chance)],
      };
  }
}

function anyOps(chance: Chance, depth: number, most: number, deep: boolean): readonly Op[] {
  return Array.from({ length: 1 + chance.below(most) }, () => anyOp(chance, depth, deep));
}

export const anyProgram = (chance: Chance, deep: boolean): readonly Op[] => anyOps(chance, 2, 6, deep);

/** What an attempt of a step does. `seen`: everything that the code had seen when it asked for the step. */
export type Attempting = (op: StepOp, attempt: StepAttempt, seen: readonly string[]) => Json | Promise<Json>;

class Interpreter {
  readonly #ctx: Context;
  readonly #attempt: Attempting;
  /** What the results that came back are known by in the log. */
  readonly #seen: string[] = [];

  constructor(ctx: Context, attempt: Attempting) {
    this.#ctx = ctx;
    this.#attempt = attempt;
  }

  async all(ops: readonly Op[]): Promise<Json[]> {
    const trace: Json[] = [];
    for (const op of ops) trace.push(await this.#one(op), this.#ctx.now());
    return trace;
  }

  async #one(op: Op): Promise<Json> {
    switch (op.op) {
      case 'step':
        return this.#step(op);
      case 'sleep':
        await this.#ctx.sleep(op.ms);
        return 'slept';
      case 'signal':
        return this.#signal(op);
      case 'child':
        return this.#child(op);
      case 'map':
        return this.#map(op);
      case 'draw':
        return [this.#ctx.random(), this.#ctx.uuid()];
      case 'compute':
        for (let turn = 0; turn < op.turns; turn++) await null;
        return 'computed';
      case 'parallel':
        return Promise.all(op.branches.map((branch) => this.all(branch)));
      case 'race': {
        const [left, right] = op.between;
        return Promise.race([this.#one(left), this.#one(right)]);
      }
    }
  }

  async #map({ step, count, maxParallel, collect, failing }: MapOp): Promise<Json> {
    const seen = [...this.#seen];
    const items = Array.from({ length: count }, (_, n) => (n === failing ? { ...step, fatal: true } : step));
    const options = { maxParallel, retry: { initialMs: 700, maxAttempts: 4 } };
    const run = (op: StepOp, attempt: StepAttempt) => this.#attempt(op, attempt, seen);
    try {
      if (!collect) return await this.#ctx.map(step.name, items, run, options);
      const results = await this.#ctx.map(step.name, items, run, { ...options, onFailure: 'collect' });
      return results.map((one) => (one.ok ? one.output : String(one.error)));
    } catch (error) {
      return `caught ${String(error)}`;
    }
  }

  async #child({ ops, detached, onClose }: ChildOp): Promise<Json> {
    const input = { ops } as unknown as Json;
    if (detached) {
      const { runId } = await this.#ctx.start(this.#ctx.workflow, input);
      return { started: runId };
    }
    try {
      const value = await this.#ctx.run(this.#ctx.workflow, input, { onClose });
      this.#seen.push(JSON.stringify(value));
      return value;
    } catch (error) {
      return `caught ${String(error)}`;
    }
  }

  async #step(op: StepOp): Promise<Json> {
    const seen = [...this.#seen];
    try {
      const value = await this.#ctx.step(op.name, (attempt) => this.#attempt(op, attempt, seen), {
        retry: op.pauses === true ? { ...RETRY, maxAttempts: 2, onExhausted: 'pause' } : RETRY,
      });
      this.#seen.push(JSON.stringify(value));
      // Code may do with a result what it likes: the journal must not notice.
      if (isObject(value)) Object.assign(value, { changed: true });
      return value;
    } catch (error) {
      this.#seen.push(String(error instanceof Error ? error.message : error));
      if (!op.caught) throw error;
      return `caught ${String(error)}`;
    }
  }

  async #signal(op: SignalOp): Promise<Json> {
    try {
      const value = await this.#ctx.signal(op.name, op.timeoutMs === undefined ? {} : { timeoutMs: op.timeoutMs });
      this.#seen.push(JSON.stringify(value));
      return value;
    } catch (error) {
      return `caught ${String(error)}`;
    }
  }
}

/** What a run is to do: a child is told by its payload. */
export function opsOf(payload: Json, program: readonly Op[]): readonly Op[] {
  return isObject(payload) && Array.isArray(payload['ops']) ? (payload['ops'] as unknown as readonly Op[]) : program;
}

/** Interprets the program; gives everything it has seen, in the order of the program. */
export function interpret(ctx: Context, ops: readonly Op[], attempt: Attempting): Promise<Json> {
  return new Interpreter(ctx, attempt).all(ops);
}
