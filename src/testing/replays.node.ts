/** Does code still fit the journals that other code wrote? */
import { AssertionError } from 'node:assert';
import type { Definition } from '../engine/index.ts';
import { replayFunction, type ServedFunction } from '../functions/index.ts';
import { verifyRun } from '../replay/index.ts';
import type { RunHistory } from './run.ts';

/** A durable function, or the definition of a declared workflow. */
export type Code = ServedFunction | Definition;

/**
 * Asserts that new code goes on with a recorded run as if it had recorded it: a function asks for the same operations, a
 * definition decides the same.
 * @param history `run.history` of a test environment, or what `millrace runs export` gave
 * @throws AssertionError that says what is recorded and what is asked for instead
 */
export async function assertReplays(history: RunHistory, code: Code): Promise<void> {
  const { workflow, runId } = history;
  const reason = 'run' in code ? await functionDiffers(history, code) : definitionDiffers(history, code);
  if (reason === undefined) return;
  throw new AssertionError({
    message: `run ${runId} of ${workflow} does not replay: ${reason}`,
    operator: 'assertReplays',
  });
}

async function functionDiffers(
  { workflow, runId, entries }: RunHistory,
  fn: ServedFunction,
): Promise<string | undefined> {
  return (await replayFunction(fn, { workflow, runId }, entries)).reason;
}

function definitionDiffers(
  { workflow, runId, entries, inputs }: RunHistory,
  definition: Definition,
): string | undefined {
  const run = { workflow, runId };
  const bodies = new Map(inputs.map(({ seq, body }) => [seq, body]));
  const stored = inputs.map(({ seq, at }) => ({ run, seq, at, data: new Uint8Array(), headers: {} }));
  const found = verifyRun(
    { run, entries, inputs: stored },
    ({ seq }) => bodies.get(seq),
    () => definition,
  );
  if (found.divergence === undefined) return undefined;
  const lines = found.divergence.diff.map(({ side, text }) => `\n  ${side} ${text}`);
  return `${found.divergence.message}${lines.join('')}`;
}
