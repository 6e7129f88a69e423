/**
 * Writing an exported run into a journal. Pure of technology: it speaks to ports.
 *
 * The inputs go first, wrapped (`imported`), so that no controller acts on them; then the log, entry by entry. Who dies in between leaves
 * wrapped inputs and half a log: the next import of the run recognises that, removes it and begins again.
 */
import { fold, importedBody, isEnded, type Journal, parseInput, type RunRef } from '../engine/index.ts';
import { MillraceError } from '../kernel/index.ts';
import { type ExportedRun, renumbered, renumberedId } from './transfer.ts';

export interface ImportPorts {
  readonly journal: Pick<Journal, 'entries' | 'inputsBetween' | 'append' | 'send'>;
  /** Removes every message of the run. */
  purge(run: RunRef): Promise<void>;
  /** Makes the message ids of this import its own: an earlier one's must not swallow them. */
  readonly importId: string;
}

/** @throws MillraceError MR_RUN_STATE when there is something that no broken import left */
async function makeRoom(run: RunRef, { journal, purge }: ImportPorts): Promise<void> {
  const entries = await journal.entries(run);
  const inputs = await journal.inputsBetween(run, 0, Number.MAX_SAFE_INTEGER);
  if (entries.length === 0 && inputs.length === 0) return;
  const onlyImported = inputs.every(({ data }) => {
    const parsed = parseInput(data);
    return parsed.ok && parsed.value.kind === 'imported';
  });
  const ended = isEnded(fold(run.workflow, run.runId, entries));
  if (!onlyImported || ended) {
    throw new MillraceError('MR_RUN_STATE', `there is a run ${run.runId} of ${run.workflow} already`, {
      hint: 'import it under another id with --as, or purge the one that is there',
    });
  }
  await purge(run);
}

/**
 * Imports a run.
 * @param as its id here
 * @throws MillraceError MR_RUN_STATE when the place is taken, MR_PAYLOAD_TOO_LARGE, MR_NATS
 */
export async function importRun(exported: ExportedRun, as: string, ports: ImportPorts): Promise<RunRef> {
  const run = { workflow: exported.workflow, runId: as };
  const { journal, importId } = ports;
  await makeRoom(run, ports);
  try {
    const sequences = new Map<number, number>();
    for (const { seq, msgId, ...original } of exported.inputs) {
      const told = msgId === undefined ? {} : { msgId: renumberedId(msgId, run.runId, sequences) };
      const body = importedBody({ ...original, ...told });
      const stored = await journal.send(run, body, { msgId: `import:${importId}:${run.runId}:${seq}` });
      sequences.set(seq, stored.seq);
    }
    let last = 0;
    for (const entry of exported.entries) {
      const stored = await journal.append(run, renumbered(entry, sequences), last);
      if (!stored.ok) throw new MillraceError('MR_CONFLICT', `somebody else writes to run ${run.runId}`);
      last = stored.value;
    }
  } catch (error) {
    await ports.purge(run);
    throw error;
  }
  return run;
}
