/** Recorded histories: what a run's journal looked like when a version of Millrace wrote it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Command,
  type Definition,
  decide,
  evolveEntry,
  fold,
  type Input,
  inputBodySchema,
  newRun,
  type RunState,
  react,
  type StoredEntry,
  upcastEntry,
} from '../../src/engine/index.ts';
import { RUN_ID, type Story } from './spec.ts';
import { ROOT } from './tidy/index.ts';

export interface History {
  /** What it is there to keep. */
  readonly about: string;
  /** Version of Millrace that wrote it. */
  readonly recordedBy: string;
  readonly definition: Definition;
  readonly runId: string;
  readonly inputs: readonly Input[];
  readonly entries: readonly StoredEntry[];
  /** Commands by the sequence of their entry. */
  readonly commands: Readonly<Record<string, readonly Command[]>>;
  readonly state: RunState;
}

export const HISTORIES = join(ROOT, 'test/histories');

export function readHistories(): readonly { readonly name: string; readonly history: History }[] {
  return readdirSync(HISTORIES)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((name) => ({ name, history: JSON.parse(readFileSync(join(HISTORIES, name), 'utf8')) }));
}

/** A story as a history of this version. */
export function historyOf(about: string, recordedBy: string, story: Story): History {
  const commands: Record<string, readonly Command[]> = {};
  let state = newRun(story.definition.name, RUN_ID);
  for (const entry of story.entries) {
    commands[entry.seq] = react(story.definition, state, entry);
    state = evolveEntry(state, entry);
  }
  const { definition, inputs, entries } = story;
  return { about, recordedBy, definition, runId: RUN_ID, inputs, entries, commands, state };
}

/** Where the present code and the history part; an empty list when they agree. */
export function replayHistory(history: History): readonly string[] {
  const { definition, runId } = history;
  const byCause = new Map(history.entries.map((entry) => [entry.cause, entry]));
  const found: string[] = [];
  const differ = (what: string, got: unknown, recorded: unknown): void => {
    const [a, b] = [JSON.stringify(got), JSON.stringify(recorded)];
    if (a !== b) found.push(`${what}: ${a} now, ${b} recorded`);
  };
  let state = newRun(definition.name, runId);
  for (const { seq, at, body } of history.inputs) {
    const transitions = decide(definition, state, { seq, at, body: inputBodySchema.parse(body) });
    const stored = byCause.get(seq);
    differ(`input ${seq}`, transitions, stored?.transitions ?? []);
    if (stored === undefined) continue;
    differ(`time of entry ${stored.seq}`, stored.at, at);
    const entry = { ...upcastEntry(stored), seq: stored.seq };
    differ(`commands of entry ${stored.seq}`, react(definition, state, entry), history.commands[stored.seq]);
    state = evolveEntry(state, entry);
  }
  differ('state', state, history.state);
  differ('fold', fold(definition.name, runId, history.entries), history.state);
  return found;
}
