/**
 * What runs tell each other, as inputs: a child's start, its end, the end of its parent.
 * Message ids follow from the runs and steps, so what is sent again inside the duplicate window is stored once.
 */
import type { ChildRef, Journal, Parent, RunEnding, RunRef } from '../engine/index.ts';
import { isMillraceError, MillraceError } from '../kernel/index.ts';
import type { ChildStart, Family } from './kinship.ts';

/** How long a workflow's definition is used before it is looked up again, in ms. */
const KNOWN_MS = 5_000;

export class JournalFamily implements Family {
  readonly #journal: Pick<Journal, 'send'>;
  readonly #lookUp: (workflow: string) => Promise<string | undefined>;
  readonly #now: () => number;
  readonly #digests = new Map<string, { readonly digest: Promise<string>; readonly until: number }>();

  /** @param lookUp the digest of a workflow's current definition */
  constructor(
    journal: Pick<Journal, 'send'>,
    lookUp: (workflow: string) => Promise<string | undefined>,
    now: () => number,
  ) {
    this.#journal = journal;
    this.#lookUp = lookUp;
    this.#now = now;
  }

  async start({ run, own, payload, parent, trace }: ChildStart): Promise<void> {
    const digest = await this.#digestOf(run.workflow);
    const by = `${parent.workflow}/${parent.runId}`;
    const { traceparent, tracestate } = trace;
    await this.#journal.send(
      run,
      {
        v: 1,
        kind: 'start',
        digest,
        payload,
        parent,
        by,
        trace: { traceparent, ...(tracestate === undefined ? {} : { tracestate }) },
        ...(own ? { fresh: true } : {}),
      },
      {
        msgId: `child:${parent.workflow}:${parent.runId}:${parent.step}:${parent.attempt}`,
        ...(own ? { first: true } : {}),
      },
    );
  }

  #digestOf(workflow: string): Promise<string> {
    const known = this.#digests.get(workflow);
    const now = this.#now();
    if (known !== undefined && known.until > now) return known.digest;
    const digest = this.#lookUp(workflow).then((found) => {
      if (found !== undefined) return found;
      throw new MillraceError('MR_WORKFLOW_MISSING', `there is no workflow "${workflow}"`, {
        hint: 'apply its manifest or serve its function first; then retry this run',
      });
    });
    this.#digests.set(workflow, { digest, until: now + KNOWN_MS });
    digest.catch(() => this.#digests.delete(workflow));
    return digest;
  }

  async close(parent: RunRef, children: readonly ChildRef[], reason: string, kill: boolean): Promise<void> {
    const by = `${parent.workflow}/${parent.runId}`;
    await Promise.all(
      children.map(({ workflow, runId }) =>
        this.#journal.send(
          { workflow, runId },
          { v: 1, kind: kill ? 'kill' : 'cancel', reason, by },
          { msgId: `close:${parent.workflow}:${parent.runId}:${runId}` },
        ),
      ),
    );
  }

  async tell(child: RunRef, parent: Parent, ending: RunEnding): Promise<void> {
    const { workflow, runId, step, attempt } = parent;
    const send = (how: RunEnding) =>
      this.#journal.send(
        { workflow, runId },
        { v: 1, kind: 'child', step, attempt, ...child, ending: how },
        { msgId: `end:${child.workflow}:${child.runId}:${step}:${attempt}` },
      );
    try {
      await send(ending);
    } catch (error) {
      if (!isMillraceError(error, 'MR_PAYLOAD_TOO_LARGE')) throw error;
      const { code, message } = error;
      await send({ status: 'failed', error: { code, message, retryable: false, lost: false } });
    }
  }
}
