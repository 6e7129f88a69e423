/** The runs of lines, over the journal and the definitions. */
import { type DefinitionLookup, fold, type Journal } from '../engine/index.ts';
import type { Telemetry } from '../telemetry/index.ts';
import type { LineRef } from './model/line.ts';
import type { LineRuns } from './ports.ts';
import { traceOfStart } from './tell.ts';

export interface JournalRunsOptions {
  readonly journal: Pick<Journal, 'entries' | 'inputsBetween' | 'send'>;
  readonly definitions: Pick<DefinitionLookup, 'current'>;
  readonly telemetry: Telemetry;
}

/** How the line stands in the journal of its runs, as the one who started them. */
export const startedBy = ({ line }: LineRef): string => (line.startsWith('=') ? 'replace' : `schedule ${line}`);

export function runsOverJournal({ journal, definitions, telemetry }: JournalRunsOptions): LineRuns {
  return {
    async look(workflow, runId) {
      const run = { workflow, runId };
      const { status } = fold(workflow, runId, await journal.entries(run));
      if (status === 'completed' || status === 'failed' || status === 'cancelled') return status;
      if (status !== 'new') return 'open';
      // Nobody may have taken it up yet.
      return (await journal.inputsBetween(run, 0, Number.MAX_SAFE_INTEGER)).length > 0 ? 'open' : 'new';
    },
    async start(ref, start) {
      const { workflow } = ref;
      const { runId, payload = null, by, attributes } = start;
      const definition = await definitions.current(workflow);
      if (definition === undefined) {
        // It was taken away a moment ago; the keeper removes the schedule as well.
        telemetry.log.warn({ ...ref, run: runId }, `no run of ${workflow} can start: it has no definition any more`);
        return;
      }
      const { traceparent, tracestate } = traceOfStart(ref, start);
      await journal.send(
        { workflow, runId },
        {
          v: 1,
          kind: 'start',
          digest: definition.digest,
          payload,
          by: by ?? startedBy(ref),
          trace: tracestate === undefined ? { traceparent } : { traceparent, tracestate },
          ...(attributes === undefined ? {} : { attributes: { ...attributes } }),
        },
        { msgId: `start:${runId}` },
      );
    },
    async stop({ workflow, line }, { runId, kill, reason }) {
      await journal.send(
        { workflow, runId },
        { v: 1, kind: kill ? 'kill' : 'cancel', reason, by: startedBy({ workflow, line }) },
        { msgId: `stop:${workflow}:${runId}:${kill ? 'kill' : 'cancel'}` },
      );
    },
  };
}
