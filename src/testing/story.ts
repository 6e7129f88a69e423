/** A run of a declared workflow as a list of inputs, decided one after another the way the controller decides them. Pure. */
import {
  type Command,
  type Definition,
  decide,
  evolveEntry,
  fold,
  type Input,
  type InputBody,
  type LogEntry,
  newRun,
  type RunState,
  react,
  type StoredEntry,
  type Transition,
} from '../engine/index.ts';

/** Id of the run that a {@link Story} tells. */
export const RUN_ID = 'r1';
const BEGIN = 1_700_000_000_000;

/** Server time of the n-th input of a story, ms since the epoch: one second after another. */
export const at = (n: number): number => BEGIN + n * 1_000;

/** A run's journal as it grows, kept the way the controller keeps it. */
export class Story {
  readonly definition: Definition;
  readonly entries: StoredEntry[] = [];
  readonly inputs: Input[] = [];
  state: RunState;

  constructor(definition: Definition) {
    this.definition = definition;
    this.state = newRun(definition.name, RUN_ID);
  }

  /** Feeds one input; gives the transitions and the commands that follow from them. A start without digest is of this definition. */
  feed(body: InputBody): { transitions: readonly Transition[]; commands: readonly Command[] } {
    const n = this.inputs.length + 1;
    const known = body.kind === 'start' && body.digest === '' ? { ...body, digest: this.definition.digest } : body;
    const input: Input = { seq: 2 * n - 1, at: at(n), body: known };
    this.inputs.push(input);
    const transitions = decide(this.definition, this.state, input);
    if (transitions.length === 0) return { transitions, commands: [] };
    const entry: LogEntry = { v: 1, cause: input.seq, at: input.at, transitions };
    const commands = react(this.definition, this.state, entry);
    const stored: StoredEntry = { ...entry, seq: 2 * n };
    this.entries.push(stored);
    this.state = evolveEntry(this.state, stored);
    return { transitions, commands };
  }

  /** The state that anybody else gets who reads the log from the stream. */
  refold(): RunState {
    const read: StoredEntry[] = JSON.parse(JSON.stringify(this.entries));
    return fold(this.definition.name, RUN_ID, read);
  }
}
