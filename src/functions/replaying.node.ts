/**
 * The replay of a recorded run by code that may be other than what recorded it: read-only, nothing it asks for happens.
 *
 * Job: say whether the code still asks for what the journal has. Boundary: the log that it is given, and the code; no step, timer
 * or message of the code's gets anywhere. `millrace replay check` and `assertReplays` are faces of it.
 */
import type { LogEntry, RunRef, StoredEntry, Transition } from '../engine/index.ts';
import { canonicalJson, isMillraceError, messageOf } from '../kernel/index.ts';
import { noTelemetry } from '../telemetry/index.ts';
import { Execution } from './execution.ts';
import { processPorts } from './process.node.ts';
import { recall } from './recall.ts';
import type { ServedFunction } from './types.ts';

/** What a replay found. */
export interface FunctionReplay extends RunRef {
  readonly identical: boolean;
  /** Recorded results that were given back. */
  readonly results: number;
  /** Recorded results there are. */
  readonly recorded: number;
  /** Why it is not identical: recorded against asked. */
  readonly reason?: string;
}

const ENDS: ReadonlySet<Transition['type']> = new Set(['RunCompleted', 'RunFailed', 'RunCancelled', 'RunContinued']);
/** Steps that the code has asked for, and no result is known of. */
const OPEN: ReadonlySet<string> = new Set(['waiting', 'backoff', 'paused', 'scheduled']);
const CALLED_OFF: ReadonlySet<Transition['type']> = new Set(['TimerCancelled', 'StepCancelled']);
/** How often the event loop is gone around, and then how long is waited, for code that computes something of its own. */
const TURNS = 50;
const PATIENCE_MS = 1_000;
const LOOK_MS = 20;
const NEVER = new Promise<never>(() => {});

type End = Extract<Transition, { type: 'RunCompleted' | 'RunFailed' | 'RunCancelled' | 'RunContinued' }>;

function isEnd(transition: Transition): transition is End {
  return ENDS.has(transition.type);
}

/** The log as it was before the run ended, and the end; a run that goes on has none. */
function beforeEnd(entries: readonly StoredEntry[]): { readonly log: readonly StoredEntry[]; readonly end?: End } {
  const place = entries.findLastIndex(({ transitions }) => transitions.some(isEnd));
  const entry = entries[place];
  const end = entry?.transitions.findLast(isEnd);
  if (entry === undefined || end === undefined || end.type === 'RunContinued') return { log: entries };
  if (entries.slice(place + 1).some(({ transitions }) => transitions.some(({ type }) => type === 'RunRetried')))
    return { log: entries };
  const kept = entry.transitions.slice(0, entry.transitions.indexOf(end));
  while (kept.length > 0 && CALLED_OFF.has(kept.at(-1)?.type ?? end.type)) kept.pop();
  return { log: [...entries.slice(0, place), { ...entry, transitions: kept }], end };
}

/** One replay under way. */
class Replay {
  readonly #run: RunRef;
  readonly #execution: Execution;
  /** Operations that the code asked for, by their names in the journal. */
  readonly #asked: string[] = [];
  readonly #recorded: readonly string[];
  readonly #open: readonly string[];
  readonly #end: End | undefined;
  #wrote: LogEntry | undefined;
  #lost: unknown;

  constructor(fn: ServedFunction, run: RunRef, entries: readonly StoredEntry[]) {
    const { log, end } = beforeEnd(entries);
    const recalled = recall(run.workflow, run.runId, log);
    this.#run = run;
    this.#end = end;
    this.#recorded = recalled.order;
    this.#open = Object.values(recalled.state.steps)
      .filter(({ status }) => OPEN.has(status))
      .map(({ name }) => name);
    // The function's own schemas stand between its types and the journal.
    this.#execution = new Execution(run, fn as never, {
      worker: 'replay',
      cause: recalled.lease,
      at: log.at(-1)?.at ?? 0,
      recalled,
      owner: { rested: () => {}, ended: () => {}, lost: (_, { error }) => (this.#lost = error ?? 'given up') },
      ports: this.#ports(log),
    });
    const idOf = this.#execution.idOf.bind(this.#execution);
    this.#execution.idOf = (name) => {
      const id = idOf(name);
      this.#asked.push(id);
      return id;
    };
  }

  #ports(log: readonly StoredEntry[]): ConstructorParameters<typeof Execution>[2]['ports'] {
    return {
      ...processPorts,
      telemetry: noTelemetry,
      now: () => log.at(-1)?.at ?? 0,
      after: () => () => {},
      // Nothing is ever stored: what the code wants written is looked at, and that is the end of it.
      append: (_run, entry) => {
        this.#wrote ??= entry;
        return NEVER;
      },
      entries: async () => log,
      setTimer: () => NEVER,
      family: { start: () => NEVER, close: async () => {}, tell: async () => {} },
      cancelTimer: () => {},
      interpose: () => NEVER,
    };
  }

  async verdict(payload: Parameters<Execution['begin']>[0]): Promise<FunctionReplay> {
    this.#execution.begin(payload);
    await this.#quiet();
    const reason = this.#reason();
    const results = this.#execution.order.replayed;
    this.#execution.discard();
    const counts = { results, recorded: this.#recorded.length };
    return { ...this.#run, identical: reason === undefined, ...counts, ...(reason === undefined ? {} : { reason }) };
  }

  get #isDone(): boolean {
    return this.#lost !== undefined || !this.#execution.order.isReplaying;
  }

  /** Until the code asks for nothing more. */
  async #quiet(): Promise<void> {
    const { order } = this.#execution;
    for (let turn = 0, seen = -1; turn < TURNS; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      const now = order.replayed + this.#asked.length;
      if (now !== seen) turn = 0;
      else if (this.#isDone && turn > 2) return;
      seen = now;
    }
    for (let waited = 0, seen = order.replayed; !this.#isDone && waited < PATIENCE_MS; waited += LOOK_MS) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      if (order.replayed !== seen) waited = 0;
      seen = order.replayed;
    }
  }

  #reason(): string | undefined {
    const { order } = this.#execution;
    if (order.isReplaying) return this.#stands();
    if (this.#lost !== undefined) return messageOf(this.#lost);
    const missed = this.#open.find((name) => !this.#asked.includes(name));
    if (missed !== undefined) return `the journal waits for "${missed}"; ${this.#askedInstead()}`;
    return this.#end === undefined ? undefined : this.#endDiffers(this.#end);
  }

  #stands(): string {
    const { order } = this.#execution;
    return `the journal has "${order.expected}" as result ${order.replayed + 1}; ${this.#askedInstead()}`;
  }

  #askedInstead(): string {
    const known = new Set([...this.#recorded, ...this.#open]);
    const fresh = this.#asked.filter((name) => !known.has(name));
    const end = this.#wrote?.transitions.find(isEnd);
    if (fresh.length > 0) return `the code asks for ${fresh.map((name) => `"${name}"`).join(', ')}`;
    if (end !== undefined) return `the code ends the run (${end.type})`;
    return isMillraceError(this.#lost) && /returned|threw/.test(this.#lost.message)
      ? 'the code ends the run before'
      : 'the code does not ask for it';
  }

  #endDiffers(end: End): string | undefined {
    const wrote = this.#wrote?.transitions.find(isEnd);
    if (end.type === 'RunCancelled') return undefined; // a person ended it, not the code
    const asked = this.#asked.filter((name) => !this.#recorded.includes(name) && !this.#open.includes(name));
    if (wrote === undefined) {
      const what = asked.length === 0 ? 'does not end' : `asks for "${asked[0]}"`;
      return `the journal ends with ${end.type}; the code ${what}`;
    }
    if (canonicalJson(essence(wrote)) === canonicalJson(essence(end))) return undefined;
    return `the journal ends with ${JSON.stringify(essence(end))}; the code gives ${JSON.stringify(essence(wrote))}`;
  }
}

/** What of an end the code decides. */
function essence(end: End): { type: string; output?: unknown; code?: string; message?: string } {
  if (end.type === 'RunCompleted') return { type: end.type, output: end.output ?? null };
  if (end.type === 'RunFailed') return { type: end.type, code: end.error.code, message: end.error.message };
  return { type: end.type };
}

/**
 * Executes the function on what was recorded of a run, and says whether it asks for the same. Never rejects for what it finds.
 * @param entries the run's log, oldest first
 */
export async function replayFunction(
  fn: ServedFunction,
  run: RunRef,
  entries: readonly StoredEntry[],
): Promise<FunctionReplay> {
  const { log } = beforeEnd(entries);
  const { state } = recall(run.workflow, run.runId, log);
  // A signal may have come before the start: then there is nothing yet that code has decided.
  if (state.status === 'new') return { ...run, identical: true, results: 0, recorded: 0 };
  return new Replay(fn, run, entries).verdict(state.payload);
}
