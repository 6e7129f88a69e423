/** The child runs below a run, and theirs, as `millrace runs show --tree` prints them. */
import { fold, itemsOf, type Journal, type RunRef, type RunState, type StepState } from '../../engine/index.ts';
import { formatStatus } from '../format-status.ts';
import { formatTook } from '../format-time.ts';
import type { Output } from '../output.ts';

export interface RunTree extends RunRef {
  /** `new`: it has been asked for and has not begun. */
  readonly status: RunState['status'];
  readonly startedAt?: number;
  readonly endedAt?: number;
  /** The parent's step and attempt that it is. */
  readonly step?: string;
  readonly attempt?: number;
  readonly children: readonly RunTree[];
}

/** Logs read at once. */
const AT_ONCE = 16;

/**
 * The tree below the run, of the latest attempt of each step.
 * @throws MillraceError MR_NATS, MR_JOURNAL_CORRUPT
 */
export async function readTree(journal: Pick<Journal, 'entries'>, state: RunState): Promise<RunTree> {
  const below = [...Object.values(state.steps), ...itemsOf(state)];
  const children: RunTree[] = [];
  const waiting = below.flatMap((step) => (step.child === undefined ? [] : [{ step, child: step.child }]));
  while (waiting.length > 0) {
    const some = waiting.splice(0, AT_ONCE);
    children.push(...(await Promise.all(some.map(({ step, child }) => readChild(journal, step, child)))));
  }
  const { workflow, runId, status, startedAt, endedAt } = state;
  return {
    ...{ workflow, runId, status },
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(endedAt === undefined ? {} : { endedAt }),
    children,
  };
}

async function readChild(
  journal: Pick<Journal, 'entries'>,
  { name: step, attempt }: StepState,
  { workflow, runId }: RunRef,
): Promise<RunTree> {
  const entries = await journal.entries({ workflow, runId });
  return { ...(await readTree(journal, fold(workflow, runId, entries))), step, attempt };
}

export function printTree(tree: RunTree, now: number, out: Output, indent = ''): void {
  const { runId, workflow, status, startedAt, endedAt, step, attempt = 1, children } = tree;
  const of = step === undefined ? '' : ` ${out.c.dim(`(${step}${attempt === 1 ? '' : `, attempt ${attempt}`})`)}`;
  out.line(`${indent}${runId} ${workflow} ${formatStatus(status, out.c)} ${formatTook(startedAt, endedAt, now)}${of}`);
  for (const child of children) printTree(child, now, out, `${indent}  `);
}
