/**
 * What is sent between a run and its children: the child's start, its end when the parent's step is over, and the word of its
 * end to the parent.
 *
 *   P1 a child's id follows from its parent's run, step and attempt, and its start from that: sent again it is the same run;
 *   P2 a child that cannot be started is told to its parent as one that failed, so that nobody waits for it;
 *   P3 an end is told under an id of the child's entry: a child that is retried by hand tells its next end, too.
 */
import { type ErrorCode, isMillraceError, type MillraceError } from '../../kernel/index.ts';
import { attemptContext } from '../../telemetry/index.ts';
import type { Journal, RunRef } from '../journal/port.ts';
import { type Command, depthBelow, type Failure, type InputBody, type Parent, type RunEnding } from '../model/index.ts';
import type { CommandBatch, DefinitionLookup } from './ports.ts';

export interface ChildPorts {
  readonly journal: Pick<Journal, 'send'>;
  readonly definitions: Pick<DefinitionLookup, 'current'>;
}

type Of<K extends Command['kind']> = Extract<Command, { kind: K }>;

/**
 * Starts the child run.
 * @throws MillraceError MR_NATS when it is not known that it is started
 */
export async function startChild(ports: ChildPorts, batch: CommandBatch, command: Of<'child'>): Promise<void> {
  const { run, state } = batch;
  const { child, step, attempt, payload } = command;
  const definition = await ports.definitions.current(child.workflow);
  if (definition === undefined) {
    const hint = 'apply its manifest, then retry the run';
    return told(ports, run, command, failed('MR_WORKFLOW_MISSING', `there is no workflow ${child.workflow}`, hint));
  }
  const parent: Parent = { ...run, step, attempt, depth: depthBelow(state), ...(child.wait ? {} : { detached: true }) };
  const trace = state.trace === undefined ? undefined : attemptContext(state.trace, run.runId, step, attempt);
  const body: InputBody = {
    ...({ v: 1, kind: 'start', digest: definition.digest, payload, parent } as const),
    ...(trace === undefined ? {} : { trace }),
  };
  try {
    await ports.journal.send(refOf(child), body, { msgId: `start:${child.runId}` });
  } catch (error) {
    if (!isMillraceError(error, 'MR_PAYLOAD_TOO_LARGE')) throw error;
    return told(ports, run, command, tooLarge(error));
  }
  if (child.wait) return;
  return told(ports, run, command, { status: 'completed', output: { ...refOf(child) } });
}

/** Ends the child run; one that has ended already takes no notice. */
export async function closeChild(ports: ChildPorts, batch: CommandBatch, command: Of<'child.close'>): Promise<void> {
  const { child, reason, kill } = command;
  const { run, entry } = batch;
  const body: InputBody = { v: 1, kind: kill ? 'kill' : 'cancel', reason, by: `${run.workflow}/${run.runId}` };
  await ports.journal.send(refOf(child), body, { msgId: `close:${child.runId}:${entry.seq}` });
}

/** Tells the parent that this run has ended. */
export async function tellParent(ports: ChildPorts, batch: CommandBatch, command: Of<'parent'>): Promise<void> {
  const { parent, ending } = command;
  const { run, entry } = batch;
  const tell = (how: RunEnding, msgId: string) =>
    ports.journal.send(refOf(parent), { v: 1, kind: 'child', ...attemptOf(parent), ...run, ending: how }, { msgId });
  try {
    await tell(ending, `child:${run.runId}:${entry.seq}`);
  } catch (error) {
    if (!isMillraceError(error, 'MR_PAYLOAD_TOO_LARGE')) throw error;
    await tell(tooLarge(error), `child:${run.runId}:${entry.seq}`);
  }
}

const refOf = ({ workflow, runId }: RunRef): RunRef => ({ workflow, runId });
const attemptOf = ({ step, attempt }: Parent) => ({ step, attempt });

/** What became of starting the child, told to the run that asked for it. */
async function told(ports: ChildPorts, run: RunRef, command: Of<'child'>, ending: RunEnding): Promise<void> {
  const { child, step, attempt } = command;
  const body: InputBody = { v: 1, kind: 'child', step, attempt, ...refOf(child), ending };
  await ports.journal.send(run, body, { msgId: `child:${child.runId}:start` });
}

function failed(code: ErrorCode, message: string, hint: string | undefined, retryable = true): RunEnding {
  const error: Failure = { code, message, ...(hint === undefined ? {} : { hint }), retryable, lost: false };
  return { status: 'failed', error };
}

const tooLarge = ({ code, message, hint }: MillraceError): RunEnding => failed(code, message, hint, false);
