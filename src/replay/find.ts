/** Which run an abbreviated id means: as git does it, any beginning that only one run has. Pure. */
import type { RunRef } from '../engine/index.ts';
import { MillraceError } from '../kernel/index.ts';

/** How many candidates an error names. */
const SHOWN = 5;

/**
 * The one run whose id is, or begins with, the text.
 * @throws MillraceError MR_RUN_MISSING when there is none, MR_USAGE when there are several
 */
export function resolveRun(text: string, runs: readonly RunRef[]): RunRef {
  const exact = runs.filter((run) => run.runId === text);
  const found = exact.length > 0 ? exact : runs.filter((run) => run.runId.startsWith(text));
  const [first, second] = found;
  if (first === undefined) {
    throw new MillraceError('MR_RUN_MISSING', `there is no run "${text}"`, {
      hint: '`millrace runs list` shows the runs there are',
    });
  }
  if (second !== undefined) {
    const names = found.slice(0, SHOWN).map((run) => `${run.runId} (${run.workflow})`);
    const more = found.length > SHOWN ? `, and ${found.length - SHOWN} more` : '';
    throw new MillraceError('MR_USAGE', `"${text}" may mean ${names.join(', ')}${more}`, {
      hint: 'give more of the id, or name the workflow with --workflow',
    });
  }
  return first;
}
