/**
 * The replay proof: does the present code decide what the journal says was decided?
 *
 * Job: fold a recorded log, and before each entry ask `decide` again with the input that caused it. Boundary: pure; it is
 * given the log, the inputs and the definitions. What it proves of a run, entry by entry:
 *   R1 the entry's cause is a stored input that can still be read, and the entry's time is the input's;
 *   R2 `decide` gives the same transitions, in the same order, with the same content;
 *   R3 `evolve` leads from there to the same state;
 *   R4 an input between two causes, which left no entry, would leave none today either.
 * Inputs after the last cause are not judged: they may be waiting for a controller. Nor is a durable function: what its log
 * says was decided by its code, which is not here.
 */
import {
  type Definition,
  decide,
  evolve,
  evolveEntry,
  type Input,
  type InputBody,
  newRun,
  originalInput,
  type RunRef,
  type RunState,
  type StoredEntry,
  type StoredInput,
  type Transition,
} from '../engine/index.ts';
import { canonicalJson, HEADERS, MillraceError } from '../kernel/index.ts';
import { type DiffLine, diffJson } from './diff.ts';

/** Where and how code and journal part. */
export interface Divergence {
  /** Sequence of the log entry; of the input itself when it left none (R4). */
  readonly seq: number;
  readonly cause: number;
  readonly at: number;
  readonly kind: 'transitions' | 'state' | 'time' | 'input-missing' | 'input-unreadable' | 'definition-missing';
  /** A sentence for people. */
  readonly message: string;
  readonly recorded: readonly Transition[];
  readonly decided: readonly Transition[];
  /** Lines that differ, in their surroundings. */
  readonly diff: readonly DiffLine[];
}

export interface Verification extends RunRef {
  readonly identical: boolean;
  /** Entries proven identical. */
  readonly entries: number;
  readonly transitions: number;
  /** Inputs decided again, those that left no entry included. */
  readonly inputs: number;
  /** Inputs after the last cause: not judged. */
  readonly waiting: number;
  /** The run is a durable function's: only a worker that has its code can replay it, so nothing was judged. */
  readonly code?: true;
  readonly divergence?: Divergence;
}

/** What a verification needs of one run. */
export interface Recording {
  readonly run: RunRef;
  readonly entries: readonly StoredEntry[];
  /** All inputs of the run, oldest first. */
  readonly inputs: readonly StoredInput[];
}

/** How an input's bytes are read; undefined when they cannot be. The engine's own reading. */
export type ReadInput = (stored: StoredInput) => InputBody | undefined;
export type FindDefinition = (digest: string) => Definition | undefined;

const same = (a: unknown, b: unknown): boolean => canonicalJson(a) === canonicalJson(b);

/** Digests whose definitions a verification will ask for. */
export function digestsOf(recording: Recording, read: ReadInput): ReadonlySet<string> {
  const digests = new Set<string>();
  for (const { transitions } of recording.entries) {
    for (const t of transitions) if (t.type === 'RunStarted' || t.type === 'RunMoved') digests.add(t.digest);
  }
  for (const input of recording.inputs) {
    const body = read(input);
    if (body?.kind === 'start' || body?.kind === 'move') digests.add(body.digest);
  }
  return digests;
}

interface Found {
  readonly kind: Divergence['kind'];
  readonly message: string;
  readonly decided?: readonly Transition[];
  readonly diff?: readonly DiffLine[];
}

/** Walks one recording. */
class Walk {
  readonly #recording: Recording;
  readonly #read: ReadInput;
  readonly #find: FindDefinition;
  readonly #anyDigest: string;
  #state: RunState;
  #inputs = 0;

  constructor(recording: Recording, read: ReadInput, find: FindDefinition, runId: string) {
    this.#recording = recording;
    this.#read = read;
    this.#find = find;
    this.#state = newRun(recording.run.workflow, runId);
    this.#anyDigest = [...digestsOf(recording, read)][0] ?? '';
  }

  /** The definition for an input: the run's; before the start the one the start names, or any (M6). */
  #digestFor(body: InputBody): string {
    if (this.#state.status !== 'new') return this.#state.digest;
    return body.kind === 'start' ? body.digest : this.#anyDigest;
  }

  #decide(stored: StoredInput): { readonly decided: readonly Transition[] } | Found {
    const body = this.#read(stored);
    if (body === undefined) return { kind: 'input-unreadable', message: `input ${stored.seq} cannot be read any more` };
    const digest = this.#digestFor(body);
    const definition = this.#find(digest);
    if (definition === undefined) {
      return { kind: 'definition-missing', message: `definition ${digest} of the workflow is not in the bucket` };
    }
    this.#inputs++;
    const input: Input = { seq: stored.seq, at: stored.at, body };
    const target = body.kind === 'move' ? this.#find(body.digest) : undefined;
    return { decided: decide(definition, this.#state, input, target) };
  }

  /** R1 to R3 of one entry. */
  #entry(entry: StoredEntry, stored: StoredInput | undefined): Found | undefined {
    if (stored === undefined) {
      return { kind: 'input-missing', message: `input ${entry.cause}, which caused entry ${entry.seq}, is not stored` };
    }
    const outcome = this.#decide(stored);
    if ('kind' in outcome) return outcome;
    const { decided } = outcome;
    if (!same(decided, entry.transitions)) {
      const diff = diffJson(entry.transitions, decided);
      return { kind: 'transitions', message: `entry ${entry.seq} would be decided differently today`, decided, diff };
    }
    if (entry.at !== stored.at) {
      const message = `entry ${entry.seq} carries the time ${entry.at}, its input ${stored.at}`;
      return { kind: 'time', message, decided };
    }
    const recorded = evolveEntry(this.#state, entry);
    const again = decided.reduce((state, t) => evolve(state, t, stored.at), this.#state);
    const full: RunState = { ...again, lastInput: recorded.lastInput, lastEntry: recorded.lastEntry };
    if (!same(recorded, full)) {
      return {
        kind: 'state',
        message: `entry ${entry.seq} leads to another state today`,
        decided,
        diff: diffJson(recorded, full),
      };
    }
    this.#state = recorded;
    return undefined;
  }

  /** True when its entry would not have fitted into a message: the engine sends another input in its place. */
  #wasTooLarge({ run, seq }: StoredInput): boolean {
    const msgId = `too-large:${run.runId}:${seq}`;
    return this.#recording.inputs.some(({ headers }) => headers[HEADERS.msgId] === msgId);
  }

  /**
   * R4 of one input that left no entry. Not judged: poison, and what came before the start (it may have been refused for
   * want of a definition).
   */
  #silent(stored: StoredInput): Found | undefined {
    if (this.#state.status === 'new' || this.#read(stored) === undefined || this.#wasTooLarge(stored)) return undefined;
    const outcome = this.#decide(stored);
    if ('kind' in outcome) return outcome;
    if (outcome.decided.length === 0) return undefined;
    const { decided } = outcome;
    const message = `input ${stored.seq} left no entry in the log, but would today`;
    return { kind: 'transitions', message, decided, diff: diffJson([], decided) };
  }

  run(): Verification {
    const { run, entries, inputs } = this.#recording;
    const byCause = new Map(entries.map((entry) => [entry.cause, entry]));
    const stored = new Map(inputs.map((input) => [input.seq, input]));
    const last = entries.reduce((max, entry) => Math.max(max, entry.cause), 0);
    const silent = inputs.filter(({ seq }) => seq < last && !byCause.has(seq));
    const counts = { proven: 0, transitions: 0 };
    const result = (divergence?: Divergence): Verification => ({
      ...run,
      identical: divergence === undefined,
      entries: counts.proven,
      transitions: counts.transitions,
      inputs: this.#inputs,
      waiting: inputs.filter(({ seq }) => seq > last).length,
      ...(divergence === undefined ? {} : { divergence }),
    });
    for (const entry of entries) {
      // The inputs that were handled before this one and changed nothing, in their order.
      while (silent[0] !== undefined && silent[0].seq < entry.cause) {
        const [input] = silent.splice(0, 1);
        const found = input === undefined ? undefined : this.#silent(input);
        if (input !== undefined && found !== undefined) {
          return result(divergenceOf(found, { seq: input.seq, cause: input.seq, at: input.at, transitions: [] }));
        }
      }
      const found = this.#entry(entry, stored.get(entry.cause));
      if (found !== undefined) return result(divergenceOf(found, entry));
      counts.proven++;
      counts.transitions += entry.transitions.length;
    }
    return result();
  }
}

function divergenceOf(found: Found, at: Pick<StoredEntry, 'seq' | 'cause' | 'at' | 'transitions'>): Divergence {
  return {
    seq: at.seq,
    cause: at.cause,
    at: at.at,
    kind: found.kind,
    message: found.message,
    recorded: at.transitions,
    decided: found.decided ?? [],
    diff: found.diff ?? [],
  };
}

/** Replays one run; never throws for what it finds. */
export function verifyRun(recorded: Recording, read: ReadInput, find: FindDefinition): Verification {
  const inputs = recorded.inputs.map(originalInput);
  const recording = { ...recorded, inputs };
  for (const digest of digestsOf(recording, read)) {
    if (find(digest)?.code !== true) continue;
    return { ...recording.run, identical: true, code: true, entries: 0, transitions: 0, inputs: 0, waiting: 0 };
  }
  // An imported run may have another id here; what was decided (delays, traces) followed from the one it had.
  const runId = inputs[0]?.originalRunId ?? recording.run.runId;
  return new Walk(recording, read, find, runId).run();
}

/** The divergence as the error a caller may throw. */
export function divergedError(run: RunRef, divergence: Divergence): MillraceError {
  return new MillraceError('MR_REPLAY_DIVERGED', `run ${run.runId} of ${run.workflow}: ${divergence.message}`, {
    hint:
      divergence.kind === 'definition-missing'
        ? 'the definitions bucket lost an entry; apply the manifest of that time again'
        : 'the log was changed by somebody else, or this Millrace decides differently than the one that wrote it: do not let it continue open runs before you know which',
    place: { path: `wf.${run.workflow}.log.${run.runId}#${divergence.seq}` },
  });
}
