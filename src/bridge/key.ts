/** The identity that is reconciled: one attempt of a Prefect step, in each of the spellings it has. Pure. */
import type { ReconcileKey } from '../engine/index.ts';

export type { ReconcileKey } from '../engine/index.ts';

/** Tag that every flow run of ours carries. */
export const MILLRACE_TAG = 'millrace';

/** One text for one key. No ":" in it, which BullMQ keeps for itself. */
export function keyText(key: ReconcileKey): string {
  return `${key.workflow}/${key.runId}/${key.step}/${key.attempt}`;
}

/** The flow run's idempotency key in Prefect. */
export function idempotencyKeyOf(key: ReconcileKey): string {
  return `${key.runId}/${key.step}/${key.attempt}`;
}

export function tagsOf(key: ReconcileKey): string[] {
  return [MILLRACE_TAG, `run:${key.runId}`, `workflow:${key.workflow}`, `step:${key.step}`, `attempt:${key.attempt}`];
}

/** The key in a flow run's tags; undefined when it is none of ours. A deployment's own tags may stand among them. */
export function keyFromTags(tags: readonly string[]): ReconcileKey | undefined {
  if (!tags.includes(MILLRACE_TAG)) return undefined;
  const value = (name: string): string | undefined =>
    tags.find((tag) => tag.startsWith(`${name}:`))?.slice(name.length + 1);
  return keyOf(value('workflow'), value('run'), value('step'), Number(value('attempt')));
}

/** The key in a flow run's labels, which a deployment cannot shadow. */
export function keyFromLabels(labels: Readonly<Record<string, unknown>>): ReconcileKey | undefined {
  const text = (name: string): string | undefined => {
    const value = labels[`millrace.${name}`];
    return typeof value === 'string' ? value : undefined;
  };
  return keyOf(text('workflow'), text('run'), text('step'), Number(labels['millrace.attempt']));
}

/** A key from untrusted parts. */
export function keyOf(
  workflow: string | undefined,
  runId: string | undefined,
  step: string | undefined,
  attempt: number,
): ReconcileKey | undefined {
  if (!workflow || !runId || !step || !Number.isInteger(attempt) || attempt < 1) return undefined;
  return { workflow, runId, step, attempt };
}
