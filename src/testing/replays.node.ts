/** `assertReplays`: a test that fails when new code does not fit old journals. */
import { AssertionError } from 'node:assert';
import { type Code, type RunHistory, replayHistory } from '../functions/index.ts';

/**
 * Asserts that new code goes on with a recorded run as if it had recorded it: a function asks for the same operations, a
 * definition decides the same. `millrace replay check` asks the same of the runs of a live system.
 * @param history `run.history` of a test environment
 * @throws AssertionError that says what is recorded and what is asked for instead
 */
export async function assertReplays(history: RunHistory, code: Code): Promise<void> {
  const { workflow, runId, fits, reason } = await replayHistory(history, code);
  if (fits) return;
  throw new AssertionError({
    message: `run ${runId} of ${workflow} does not replay: ${reason}`,
    operator: 'assertReplays',
  });
}
