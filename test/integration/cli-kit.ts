/** Runs written by hand into a real journal: as a controller would, without one. */
import type { NatsDoor } from '../../src/drivers/index.ts';
import {
  type Definition,
  decide,
  evolveEntry,
  type InputBody,
  type LogEntry,
  newRun,
  openJournal,
  type RunRef,
  type RunState,
} from '../../src/engine/index.ts';

/** Changes an entry before it is stored: how a journal comes to say what was never decided. */
export type Tamper = (entry: LogEntry) => LogEntry;

/** Sends each input, decides on it and appends. */
export async function writeRun(
  door: NatsDoor,
  definition: Definition,
  runId: string,
  bodies: readonly InputBody[],
  tamper: Tamper = (entry) => entry,
): Promise<RunState> {
  const journal = openJournal(door);
  const run: RunRef = { workflow: definition.name, runId };
  let state = newRun(run.workflow, runId);
  for (const [index, body] of bodies.entries()) {
    const { seq } = await journal.send(run, body, { msgId: `${runId}:${index}` });
    const [stored] = await journal.inputsBetween(run, seq - 1, seq + 1);
    if (stored === undefined) throw new Error(`input ${seq} is not stored`);
    const transitions = decide(definition, state, { seq, at: stored.at, body });
    if (transitions.length === 0) continue;
    const entry = tamper({ v: 1, cause: seq, at: stored.at, transitions });
    const appended = await journal.append(run, entry, state.lastEntry);
    if (!appended.ok) throw new Error('conflict');
    state = evolveEntry(state, { ...entry, seq: appended.value });
  }
  journal.close();
  return state;
}
